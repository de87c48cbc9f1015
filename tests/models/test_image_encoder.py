"""Parts of the image encoder against the official ones; tests/parity has the whole of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_jax.models import Compute, Model, encode_image
from sam_jax.models.image_encoder import Block, ImageEncoder, Neck
from sam_jax.types import InputError


@pytest.fixture
def params(variables):
    return variables["params"]["image_encoder"]


def make_block(config, index):
    encoder = config.image_encoder
    return Block(encoder, Compute(), index in encoder.global_blocks)


@pytest.mark.parametrize("index", [0, 1], ids=["in windows", "global"])
def test_blocks_are_official(apply, config, official, params, draw, index):
    x = draw.standard_normal((2, 4, 6, 24), np.float32)
    theirs = official.image_encoder.blocks[index](torch.tensor(x))
    ours = apply(make_block(config, index), params[f"blocks_{index}"], x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_neck_is_official(apply, official, params, draw):
    x = draw.standard_normal((2, 4, 6, 24), np.float32)
    theirs = official.image_encoder.neck(torch.tensor(x).permute(0, 3, 1, 2))
    ours = apply(Neck(16, np.dtype(np.float32)), params["neck"], x)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("index", [0, 1], ids=["in windows", "global"])
def test_branches_scale_what_attention_and_mlp_add(apply, config, params, draw, index):
    """One image with neither, one with attention alone, one with both doubled."""
    x = np.repeat(draw.standard_normal((1, 4, 6, 24), np.float32), 3, axis=0)
    block, params = make_block(config, index), params[f"blocks_{index}"]
    branches = np.array([[0, 0], [1, 0], [2, 2]], np.float32)
    ours = np.asarray(apply(block, params, x, branches))

    def part(norm, module, x):
        return np.asarray(
            apply(
                block,
                params,
                x,
                method=lambda self, x: getattr(self, module)(getattr(self, norm)(x)),
            )
        )

    attention = part("norm1", "attn", x[:1])
    np.testing.assert_array_equal(ours[0], x[0])
    np.testing.assert_allclose(ours[1], x[0] + attention[0], rtol=1e-5, atol=1e-5)
    attended = x[:1] + 2 * attention
    expected = attended + 2 * part("norm2", "mlp", attended)
    np.testing.assert_allclose(ours[2], expected[0], rtol=1e-4, atol=1e-4)


def test_branches_go_to_their_blocks_in_a_loop_too(apply, config, variables, draw):
    encoder = replace(config.image_encoder, depth=3, global_blocks=(2,))
    blocks = variables["params"]["image_encoder"]
    params = {**blocks, "blocks_2": blocks["blocks_1"], "blocks_1": blocks["blocks_0"]}
    pixels = draw.standard_normal((2, 64, 96, 3), np.float32)
    branches = draw.integers(0, 2, (3, 2, 2)).astype(np.float32)
    assert not np.array_equal(branches[0], branches[1])
    plain, looped = (
        apply(ImageEncoder(encoder, compute), params, pixels, branches)
        for compute in (Compute(), Compute(scan_blocks=True))
    )
    np.testing.assert_allclose(plain, looped, rtol=1e-4, atol=1e-5)
    without = apply(ImageEncoder(encoder, Compute()), params, pixels)
    assert np.abs(plain - without).max() > 0.01


def test_another_size_is_refused(config, variables):
    model = Model(config, variables)
    with pytest.raises(InputError, match=r"padded to \(64, 96\) \(h, w\), not \(96, 64\)"):
        encode_image(model, np.zeros((1, 96, 64, 3), np.float32))


def test_sizes_that_follow_from_others(config):
    encoder = config.image_encoder
    assert encoder.grid == (4, 6)
    assert encoder.head_width == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (64, 100)}, "image_size 64x100 .* multiples of the patch size, 16"),
        ({"num_heads": 5}, "width 24 is not divisible by num_heads 5"),
        ({"global_blocks": (1, 0)}, "global_blocks"),
        ({"global_blocks": (2,)}, "global_blocks"),
    ],
)
def test_impossible_encoders_are_refused(config, change, message):
    with pytest.raises(InputError, match=message):
        replace(config.image_encoder, **change)
