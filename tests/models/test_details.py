"""What the tiny model has beyond SAM: details, maps of clicks, geodesic distances, mask scoring."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from experiments.add_details import add_details
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.checkpoints.recognition import without_details
from sam_jax.models import (
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    Sam,
    SamConfig,
    decode_masks,
    encode_image,
    encode_prompts,
    init_variables,
)
from sam_jax.models.click_maps import SPREADS, map_clicks
from sam_jax.models.details import Details, pack, to_blocks, unpack
from sam_jax.types import InputError, Prompts

CONFIG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(48, 80),
        width=24,
        depth=2,
        num_heads=2,
        window_size=2,
        global_blocks=(1,),
        out_channels=32,
        detail_width=8,
        step_costs=2,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(
        width=32,
        num_heads=2,
        mlp_width=32,
        iou_head_width=16,
        click_maps=True,
        mask_scoring=True,
    ),
)


def numbered(gh: int, gw: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps at an eighth and a quarter of the pixels whose channels start with their own row and column."""
    maps = []
    for side, channels in ((2, 8), (4, 4)):
        rows, columns = np.mgrid[: side * gh, : side * gw]
        features = np.zeros((1, side * gh, side * gw, channels), np.float32)
        features[0, ..., 0], features[0, ..., 1] = rows, columns
        maps.append(features)
    return maps[0], maps[1]


def test_places_find_the_features_of_their_own_row_and_column() -> None:
    eighth, quarter = numbered(3, 5)
    packed = pack(to_blocks(jnp.array(eighth), jnp.array(quarter)))
    assert packed.shape == (1, 3, 5, 3 * 32)
    places = np.array([[0, 0], [11, 19], [5, 14], [10, 3]])
    found = unpack(packed[0], 32).at(jnp.array(places))
    np.testing.assert_array_equal(found[:, :2], places // 2)
    np.testing.assert_array_equal(found[:, 8:10], places)


def test_packing_is_undone() -> None:
    keys = jax.random.split(jax.random.key(0))
    details = Details(
        jax.random.normal(keys[0], (3, 5, 2, 2, 8)),
        jax.random.normal(keys[1], (3, 5, 2, 2, 2, 2, 4)),
    )
    for before, after in zip(details, unpack(pack(details), 32), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.fixture(scope="module")
def plain():
    config = without_details(CONFIG)
    return Model(Sam(config), init_variables(config, seed=1))


@pytest.fixture(scope="module")
def detailed():
    return Model(Sam(CONFIG), init_variables(CONFIG, seed=2))


PIXELS = jax.random.normal(jax.random.key(3), (2, 48, 80, 3))
CLICK = Prompts(jnp.full((2, 1, 1, 2), jnp.array([50.0, 21.0])), jnp.ones((2, 1, 1), jnp.int32))
BOX = Prompts(
    jnp.broadcast_to(jnp.array([[10.0, 5.0], [60.0, 40.0]]), (2, 1, 2, 2)),
    jnp.broadcast_to(jnp.array([2, 3], jnp.int32), (2, 1, 2)),
)


@jax.jit
def answer(model: Model, prompts: Prompts):
    embeddings = encode_image(model, PIXELS)
    return decode_masks(model, embeddings, encode_prompts(model, prompts), multimask_output=True)


def replace_leaf(model: Model, path: str, change) -> Model:
    leaves = flatten_dict(dict(model.variables), sep="/")
    leaves[path] = change(leaves[path])
    return replace(model, variables=unflatten_dict(leaves, sep="/"))


def test_new_details_change_nothing(plain) -> None:
    variables = add_details(plain.variables, CONFIG, seed=0)
    for prompts in (CLICK, BOX):
        for before, after in zip(
            answer(plain, prompts), answer(Model(Sam(CONFIG), variables), prompts), strict=True
        ):
            np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def test_a_model_has_details_once(detailed) -> None:
    with pytest.raises(InputError, match="has all of that already"):
        add_details(detailed.variables, detailed.config, seed=0)


def test_clicks_are_told_from_other_tokens(detailed) -> None:
    points = jnp.array([[[[50.0, 21.0], [79.9, 47.9], [-3.0, 99.0], [10.0, 5.0], [0.0, 0.0]]]])
    labels = jnp.array([[[1, 0, 1, 2, -1]]], jnp.int32)
    clicks = jax.jit(encode_prompts)(detailed, Prompts(points, labels)).clicks
    expected = [[5, 12, 1], [11, 19, 0], [11, 0, 1], [-1, -1, -1], [-1, -1, -1]]
    np.testing.assert_array_equal(clicks, [[expected]])


def test_only_clicks_look_at_the_details_under_them(detailed) -> None:
    blind = replace_leaf(detailed, "params/mask_decoder/click_details/kernel", jnp.zeros_like)
    np.testing.assert_array_equal(answer(blind, BOX).logits, answer(detailed, BOX).logits)
    seen = jnp.abs(answer(blind, CLICK).logits - answer(detailed, CLICK).logits).max()
    assert seen > 1e-3


def test_details_lie_in_the_mask_where_they_lie_in_the_image(detailed) -> None:
    """A decoder that passes on one channel of what it adds at a quarter of the pixels."""
    model = detailed
    decoder = "params/mask_decoder"
    for layer in ("click_maps_quarter", "geodesics_quarter"):
        model = replace_leaf(model, f"{decoder}/{layer}/kernel", jnp.zeros_like)
    for index in range(4):
        last = f"{decoder}/output_hypernetworks_mlps_{index}/layers_2"
        model = replace_leaf(model, f"{last}/kernel", jnp.zeros_like)
        model = replace_leaf(model, f"{last}/bias", lambda b: jnp.zeros_like(b).at[1].set(1))
    model = replace_leaf(model, f"{decoder}/output_upscaling/conv2/kernel", jnp.zeros_like)
    columns = jnp.broadcast_to(jnp.arange(20.0) + 10, (12, 20))
    quarter = jnp.stack([0 * columns, columns, 0 * columns, 0 * columns], axis=-1)[None]
    details = pack(to_blocks(jnp.zeros((1, 6, 10, 8)), quarter))
    costs = jnp.zeros((1, 3, 5, 16 * 4))
    embeddings = jnp.concatenate([jnp.zeros((1, 3, 5, 32)), details, costs], axis=-1)
    click = jax.tree.map(lambda leaf: leaf[:1], CLICK)
    logits = jax.jit(
        lambda m: decode_masks(m, embeddings, encode_prompts(m, click), multimask_output=True)
    )(model).logits
    np.testing.assert_allclose(logits[0, 0, 2], columns, rtol=1e-5)


@pytest.mark.parametrize(
    ("compute", "tolerance"),
    [(Compute(prompts_at_once=4), 1e-5), (Compute(dtype="bfloat16"), 0.05)],
    ids=["prompts together", "bfloat16"],
)
def test_ways_to_compute_agree(detailed, compute, tolerance) -> None:
    expected = answer(detailed, CLICK).logits
    logits = answer(replace(detailed, sam=Sam(CONFIG, compute)), CLICK).logits
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance * jnp.abs(expected).max())


@pytest.mark.parametrize("layer", ["stem", "step_costs/learned"])
def test_gradients_reach_the_details(detailed, layer) -> None:
    gradients = jax.grad(lambda model: jnp.square(answer(model, CLICK).logits).mean())(detailed)
    leaves = flatten_dict(gradients.variables, sep="/")
    assert jnp.abs(leaves[f"params/image_encoder/details/{layer}/kernel"]).max() > 0


def test_details_want_patches_of_sixteen_pixels() -> None:
    with pytest.raises(InputError, match="patches of 16 pixels, not of patch_size 8"):
        replace(CONFIG.image_encoder, patch_size=8)


def test_maps_of_clicks_want_patches_of_sixteen_pixels() -> None:
    encoder = replace(CONFIG.image_encoder, patch_size=8, detail_width=0, step_costs=0)
    with pytest.raises(InputError, match="patches of 16 pixels, not of patch_size 8"):
        replace(CONFIG, image_encoder=encoder)


def test_a_file_keeps_details_and_a_pth_refuses_them(detailed, tmp_path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", CONFIG, detailed.variables)
    config, variables = load_checkpoint(tmp_path / "a.safetensors")
    assert config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, variables, dict(detailed.variables))
    with pytest.raises(InputError, match=r"official PyTorch has no place .*\.safetensors"):
        save_checkpoint(tmp_path / "a.pth", CONFIG, detailed.variables)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_maps_of_clicks_are_bells_around_them() -> None:
    clicks = np.array([[2, 17, 1], [9, 3, 1], [5, 5, 0], [-1, -1, -1]])
    maps = np.asarray(map_clicks(jnp.array(clicks), (3, 5)))
    assert maps.shape == (3, 5, 2, 2, 2, 2, 10)
    whole = maps.transpose(0, 2, 4, 1, 3, 5, 6).reshape(12, 20, 10)
    for row, column in np.ndindex(12, 20):
        for index, spread in enumerate(SPREADS):
            bells = [
                np.exp(-((row - r) ** 2 + (column - c) ** 2) / (2 * spread**2))
                for r, c, _ in clicks[:3]
            ]
            assert whole[row, column, index] == pytest.approx(max(bells[:2]), rel=1e-4, abs=1e-6)
            assert whole[row, column, 5 + index] == pytest.approx(bells[2], rel=1e-4, abs=1e-6)


def test_a_box_has_no_map_of_clicks() -> None:
    clicks = jnp.full((2, 3), -1)
    assert not map_clicks(clicks, (3, 5)).any()


@pytest.mark.parametrize(
    "layer",
    ["click_maps_tokens", "click_maps_quarter", "geodesics_tokens", "geodesics_quarter"],
)
def test_only_clicks_change_by_their_maps(detailed, layer) -> None:
    blind = replace_leaf(detailed, f"params/mask_decoder/{layer}/kernel", jnp.zeros_like)
    np.testing.assert_array_equal(answer(blind, BOX).logits, answer(detailed, BOX).logits)
    assert jnp.abs(answer(blind, CLICK).logits - answer(detailed, CLICK).logits).max() > 1e-3


def test_masks_are_looked_at_for_their_predicted_iou_only(detailed) -> None:
    blind = detailed
    for leaf in ("kernel", "bias"):
        path = f"params/mask_decoder/mask_scoring/mlp/layers_2/{leaf}"
        blind = replace_leaf(blind, path, jnp.zeros_like)
    for prompts in (CLICK, BOX):
        seeing, unseeing = answer(detailed, prompts), answer(blind, prompts)
        np.testing.assert_array_equal(seeing.logits, unseeing.logits)
        assert (jnp.abs(seeing.iou - unseeing.iou) > 1e-4).all()


def test_what_is_predicted_of_masks_does_not_change_them(detailed) -> None:
    """Their gradients, and those of costs of steps, are the same as if nobody looked."""

    def gradients(model):
        loss = jax.grad(lambda model: answer(model, CLICK).iou.sum())
        return flatten_dict(loss(model).variables, sep="/")

    found = gradients(detailed)
    assert jnp.abs(found["params/mask_decoder/mask_scoring/mlp/layers_0/kernel"]).max() > 0
    hypernetwork = "params/mask_decoder/output_hypernetworks_mlps_1/layers_2/kernel"
    assert not found[hypernetwork].any()
    blind = {
        path: leaf
        for path, leaf in gradients(
            replace_leaf(
                detailed, "params/mask_decoder/mask_scoring/mlp/layers_0/kernel", jnp.zeros_like
            )
        ).items()
        if "image_encoder" in path
    }
    for path, leaf in blind.items():
        np.testing.assert_allclose(found[path], leaf, rtol=1e-4, atol=1e-6)


def test_mask_scoring_wants_costs_of_steps() -> None:
    with pytest.raises(InputError, match="mask_scoring looks at the costs of steps: set step_cost"):
        replace(CONFIG, image_encoder=replace(CONFIG.image_encoder, step_costs=0))
