"""What holds for the table of names over models of every size."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reference import official_model
from sam_jax.checkpoints.conversion import leaf_shapes, official_shapes
from sam_jax.checkpoints.names import (
    LEAVES,
    official_names,
    rearrange,
    rearranged_shape,
    translate_key,
    translate_path,
)
from sam_jax.checkpoints.recognition import VARIANTS
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig

LAYOUTS = sorted({(ours, theirs) for kind in LEAVES.values() for ours, _, theirs in kind.values()})


@pytest.fixture(scope="module")
def paths():
    plain = (replace(config, fine=None) for config in VARIANTS.values())
    return sorted({path for config in plain for path in leaf_shapes(config)})


SMALL = st.integers(1, 4)
SIZES = st.fixed_dictionaries(
    {
        "grid": st.tuples(SMALL, SMALL),
        "heads": st.integers(1, 3),
        "global_blocks": st.lists(st.booleans(), min_size=1, max_size=4),
        "window": st.integers(1, 5),
        "width": SMALL,
        "mask_channels": SMALL,
        "decoder_depth": st.integers(1, 3),
        "hidden": st.integers(1, 9),
        "iou_head_depth": st.integers(2, 4),
        "masks": st.integers(1, 5),
    }
)
"""Of models of one or a few layers; `global_blocks` says of each block whether it attends globally."""


def make_config(sizes) -> SamConfig:
    width, blocks = 8 * sizes["width"], sizes["global_blocks"]
    return SamConfig(
        image_encoder=ImageEncoderConfig(
            image_size=(16 * sizes["grid"][0], 16 * sizes["grid"][1]),
            width=4 * sizes["heads"],
            depth=len(blocks),
            num_heads=sizes["heads"],
            window_size=sizes["window"],
            global_blocks=tuple(index for index, attends in enumerate(blocks) if attends),
            out_channels=width,
        ),
        prompt_encoder=PromptEncoderConfig(width=width, mask_channels=4 * sizes["mask_channels"]),
        mask_decoder=MaskDecoderConfig(
            width=width,
            depth=sizes["decoder_depth"],
            num_heads=2,
            mlp_width=sizes["hidden"],
            iou_head_depth=sizes["iou_head_depth"],
            iou_head_width=sizes["hidden"],
            num_multimask_outputs=sizes["masks"],
        ),
    )


@given(SIZES)
@settings(max_examples=5)
def test_every_leaf_of_a_model_has_one_official_tensor_and_back(sizes):
    config = make_config(sizes)
    with torch.device("meta"):
        state = official_model(config).state_dict()
    assert official_shapes(config) == {key: tuple(tensor.shape) for key, tensor in state.items()}
    paths = [translate_key(key).path for key in state]
    assert sorted(paths) == sorted(leaf_shapes(config))
    assert [translate_path(path).key for path in paths] == list(state)


@given(data=st.data(), numbers=st.lists(st.integers(0, 999), min_size=4, max_size=4))
def test_there_and_back_is_the_same_name_for_layers_of_every_number(paths, data, numbers):
    path, draw = data.draw(st.sampled_from(paths)), iter(numbers)
    path = re.sub(r"(?<=_)\d+(?=/)", lambda _: str(next(draw)), path)
    there = translate_path(path)
    assert there.path == path
    assert translate_key(there.key) == there


def test_no_two_leaves_share_a_name(paths):
    assert len({translate_path(path).key for path in paths}) == len(paths)


@given(st.sampled_from(LAYOUTS), st.data())
def test_there_and_back_is_the_same_array(layout, data):
    ours, theirs = layout
    sides = {letter: data.draw(st.integers(1, 4)) for letter in sorted({*ours} - {"1"})}
    shape = tuple(sides.get(letter, 1) for letter in ours)
    array = np.arange(np.prod(shape)).reshape(shape)
    there = rearrange(array, ours, theirs)
    assert there.shape == rearranged_shape(shape, ours, theirs)
    assert there.shape == tuple(sides.get(letter, 1) for letter in theirs)
    np.testing.assert_array_equal(rearrange(there, theirs, ours), array)


@given(st.integers(0, 12))
def test_heads_of_every_depth_have_hugging_faces_names(inner):
    head = "mask_decoder.iou_prediction_head"
    theirs = [
        f"{head}.{layer}.{leaf}"
        for layer in ("proj_in", *(f"layers.{n}" for n in range(inner)), "proj_out")
        for leaf in ("weight", "bias")
    ]
    official = [
        f"{head}.layers.{n}.{leaf}" for n in range(inner + 2) for leaf in ("weight", "bias")
    ]
    assert official_names(theirs) == dict(zip(theirs, official, strict=True))
