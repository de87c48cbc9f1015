import dataclasses

import jax
import numpy as np
import pytest

from sam_jax.models import TINY, VIT_B, abstract_variables
from sam_jax.training.parameters import (
    find_frozen,
    find_hidden,
    is_decayed,
    layer_factor,
    map_paths,
    pick_trainable,
    put_back,
)
from sam_jax.types import InputError

PARAMS = abstract_variables(TINY)["params"]
PATHS = jax.tree.leaves(map_paths(str, PARAMS))


def test_a_pattern_freezes_what_it_fits():
    frozen = find_frozen(PARAMS, ["image_encoder/*", "*_embed"])
    by_path = dict(zip(PATHS, jax.tree.leaves(frozen), strict=True))
    assert by_path["image_encoder/blocks_3/attn/qkv/kernel"]
    assert by_path["prompt_encoder/no_mask_embed"]
    assert not by_path["mask_decoder/iou_token"]
    assert sum(by_path.values()) == sum(
        path.startswith("image_encoder/") or path.endswith("_embed") for path in PATHS
    )


def test_without_patterns_everything_trains():
    assert not any(jax.tree.leaves(find_frozen(PARAMS, [])))


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("image_encodr/*", "did you mean image_encoder/*?"),
        ("image_encoder/blocks_3/attention/*", "did you mean image_encoder/blocks_3/attn/*?"),
        ("mask_decoder/iou_tokn", "did you mean mask_decoder/iou_token?"),
        ("zzz", "they are in image_encoder/*, mask_decoder/*, prompt_encoder/*"),
    ],
)
def test_a_pattern_that_fits_nothing_is_an_error(pattern, hint):
    with pytest.raises(InputError) as error:
        find_frozen(PARAMS, ["image_encoder/*", pattern])
    assert repr(pattern) in str(error.value)
    assert hint in str(error.value)


def test_something_has_to_train():
    with pytest.raises(InputError, match="leave no parameter to train"):
        find_frozen(PARAMS, ["*"])


def test_what_was_picked_is_put_back():
    frozen = find_frozen(PARAMS, ["image_encoder/*"])
    trainable = pick_trainable(PARAMS, frozen)
    assert jax.tree.leaves(trainable["image_encoder"]) == []
    trained = jax.tree.map(lambda leaf: np.zeros(leaf.shape), trainable)
    whole = put_back(trained, PARAMS)
    assert isinstance(whole["mask_decoder"]["iou_token"], np.ndarray)
    assert whole["image_encoder"] == PARAMS["image_encoder"]


def test_layers_of_vit_b_are_those_of_vitdet():
    # layer_id of ViTDet's get_vit_lr_decay_rate: 0 for the embedding, i + 1 for block i, else depth + 1.
    expected = {
        "image_encoder/patch_embed/kernel": 0.8**13,
        "image_encoder/pos_embed": 0.8**13,
        "image_encoder/blocks_0/attn/rel_pos_h": 0.8**12,
        "image_encoder/blocks_1/mlp/lin1/bias": 0.8**11,
        "image_encoder/blocks_10/norm2/scale": 0.8**2,
        "image_encoder/neck/conv1/kernel": 1.0,
        "prompt_encoder/foreground_embed": 1.0,
    }
    paths = jax.tree.leaves(map_paths(str, abstract_variables(VIT_B)["params"]))
    for path, factor in expected.items():
        assert path in paths
        assert layer_factor(path, depth=12, decay=0.8) == pytest.approx(factor)


def test_layer_decay_goes_by_structure():
    below = {
        path.split("/")[1]
        for path in PATHS
        if layer_factor(path, depth=8, decay=0.5) == pytest.approx(0.5**9)
    }
    of_encoder = {path.split("/")[1] for path in PATHS if path.startswith("image_encoder/")}
    assert below == of_encoder - {"neck", *(f"blocks_{i}" for i in range(8))}


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_last_layer_of_a_head_is_not_hidden_however_deep(depth):
    encoder = dataclasses.replace(VIT_B.image_encoder, depth=1, global_blocks=())
    decoder = dataclasses.replace(VIT_B.mask_decoder, iou_head_depth=depth, depth=4)
    config = dataclasses.replace(VIT_B, image_encoder=encoder, mask_decoder=decoder)
    params = abstract_variables(config)["params"]
    hidden = find_hidden(params)["mask_decoder"]
    head = hidden["iou_prediction_head"]
    of_layers = [head[f"layers_{index}"]["kernel"] for index in range(len(head))]
    assert of_layers == [True] * (depth - 1) + [False]
    assert hidden["transformer"]["layers_2"]["mlp"]["lin1"]["kernel"]
    assert not hidden["output_upscaling"]["conv1"]["kernel"]
    assert not hidden["transformer"]["layers_2"]["mlp"]["lin1"]["bias"]


def test_a_head_whose_last_layer_is_frozen_keeps_its_last_layer():
    trainable = pick_trainable(PARAMS, find_frozen(PARAMS, ["*/iou_prediction_head/layers_2/*"]))
    head = find_hidden(trainable)["mask_decoder"]["iou_prediction_head"]
    assert [head[f"layers_{index}"]["kernel"] for index in range(3)] == [True, True, None]


def test_only_products_decay():
    shapes = dict(zip(PATHS, (leaf.shape for leaf in jax.tree.leaves(PARAMS)), strict=True))
    assert all(len(shapes[path]) >= 2 for path in PATHS if is_decayed(path))
    kept = {path.rsplit("/", 1)[-1] for path in PATHS if not is_decayed(path)}
    assert kept == {
        *("bias", "scale", "pos_embed", "rel_pos_h", "rel_pos_w", "iou_token", "mask_tokens"),
        *("background_embed", "foreground_embed", "top_left_embed", "bottom_right_embed"),
        *("not_a_point_embed", "no_mask_embed"),
    }
