from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.reference import hugging_face_model, official_model
from sam_jax.checkpoints.conversion import leaf_shapes, official_shapes
from sam_jax.checkpoints.names import (
    HUGGING_FACE,
    OFFICIAL,
    official_names,
    rearrange,
    translate_key,
    translate_path,
)
from sam_jax.checkpoints.recognition import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_official_names_are_total_in_both_directions(variant):
    """Every torch key and every leaf has exactly one partner, of the right shape."""
    config = replace(VARIANTS[variant], fine=None)
    with torch.device("meta"):
        state = official_model(config).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert official_shapes(config) == shapes
    paths = [translate_key(key).path for key in shapes]
    assert len(set(paths)) == len(paths)
    assert set(paths) == set(leaf_shapes(config))
    for path, key in zip(paths, shapes, strict=True):
        assert translate_path(path) == translate_key(key)
        assert translate_path(path).key == key


def test_what_official_models_lack_has_no_official_name():
    plain = leaf_shapes(replace(VARIANTS["tiny"], fine=None))
    added = sorted(set(leaf_shapes(VARIANTS["tiny"])) - set(plain))
    assert len(added) == 54
    for path in added:
        with pytest.raises(KeyError):
            translate_path(path)


def test_every_row_is_used():
    tiny = VARIANTS["tiny"]
    paths = leaf_shapes(replace(tiny, prompt_encoder=replace(tiny.prompt_encoder, text_width=8)))
    for section, rows in OFFICIAL.items():
        for ours, _, _ in rows:
            parts = f"{section}/{ours}".split("*")
            assert any(path.startswith(parts[0]) and parts[-1] in path for path in paths), ours


@pytest.mark.parametrize("name", ["image_encoder.blocks.0.norm1.scale", "fc.weight", ""])
def test_unknown_names_have_no_translation(name):
    with pytest.raises(KeyError):
        translate_key(name)


def test_hugging_face_names_are_total(small):
    config = small()
    theirs = list(hugging_face_model(config).state_dict())
    renamed = official_names(theirs)
    assert list(renamed) == theirs
    assert set(renamed.values()) == set(official_model(config).state_dict())
    assert len(theirs) == len(set(renamed.values())) + 1  # the tied Gaussian matrix
    assert len({row[0] for row in HUGGING_FACE}) == len(HUGGING_FACE)


def test_unknown_hugging_face_names_stay():
    assert official_names(["mask_decoder.hf_token.weight"]) == {
        "mask_decoder.hf_token.weight": "mask_decoder.hf_token.weight"
    }


@pytest.mark.parametrize(
    ("source", "target", "shape", "expected"),
    [
        ("oi", "io", (2, 3), (3, 2)),
        ("oihw", "hwio", (2, 3, 4, 5), (4, 5, 3, 2)),
        ("iohw", "hwio", (2, 3, 4, 5), (4, 5, 2, 3)),
        ("oi11", "io", (2, 3, 1, 1), (3, 2)),
        ("1hwd", "hwd", (1, 2, 3, 4), (2, 3, 4)),
    ],
)
def test_rearrange_is_its_own_inverse(source, target, shape, expected):
    array = np.arange(np.prod(shape)).reshape(shape)
    there = rearrange(array, source, target)
    assert there.shape == expected
    np.testing.assert_array_equal(rearrange(there, target, source), array)


def test_rearrange_means_what_torch_means():
    """A linear layer and a transposed convolution, written out."""
    linear = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    kernel = rearrange(linear.weight.detach().numpy(), "oi", "io")
    with torch.no_grad():
        np.testing.assert_allclose(x.numpy() @ kernel, linear(x) - linear.bias, atol=1e-6)
        up = torch.nn.ConvTranspose2d(3, 2, 2, stride=2, bias=False)
        kernel = rearrange(up.weight.numpy(), "iohw", "hwio")
        placed = up(x[:1, :, None, None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(np.einsum("i,hwio->hwo", x[0].numpy(), kernel), placed, atol=1e-6)
