"""The whole model with its additions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.inference import SamPredictor
from sam_jax.models import (
    Compute,
    FineConfig,
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
from sam_jax.models.fine.details import to_blocks
from sam_jax.models.fine.image_encoder import FineEmbedding
from sam_jax.types import CheckpointError, InputError, MaskPrediction, Prompts

CONFIG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(48, 80),
        width=24,
        depth=1,
        num_heads=2,
        global_blocks=(0,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(
        width=32,
        depth=1,
        num_heads=2,
        mlp_width=32,
        iou_head_depth=2,
        iou_head_width=16,
        num_multimask_outputs=1,
    ),
    fine=FineConfig(width=8, cost_kinds=2),
)


@pytest.fixture(scope="module")
def plain():
    config = replace(CONFIG, fine=None)
    return Model(config, init_variables(config, seed=1))


@pytest.fixture(scope="module")
def detailed():
    return Model(CONFIG, init_variables(CONFIG, seed=2))


PIXELS = jax.random.normal(jax.random.key(3), (2, 48, 80, 3))


def ask(points, labels) -> Prompts:
    """One prompt for each of two images."""
    return Prompts(
        jnp.broadcast_to(jnp.array(points), (2, 1, 2, 2)),
        jnp.broadcast_to(jnp.array(labels, jnp.int32), (2, 1, 2)),
    )


CLICK = ask([[50.0, 21.0], [0.0, 0.0]], [1, -1])
"""Filled up to as many points as a box has, so that both go through one program."""
BOX = ask([[10.0, 5.0], [60.0, 40.0]], [2, 3])


@jax.jit
def answer(model: Model, prompts: Prompts):
    embeddings = encode_image(model, PIXELS)
    return decode_masks(model, embeddings, encode_prompts(model, prompts), multimask_output=True)


@jax.jit
def pull_back(model: Model, logits, iou):
    """Gradients toward the weights of the answer to a click, weighted by arrays of its shapes."""
    return jax.vjp(lambda model: answer(model, CLICK), model)[1](MaskPrediction(logits, iou))[0]


def replace_leaf(model: Model, path: str, change) -> Model:
    leaves = flatten_dict(dict(model.variables), sep="/")
    leaves[path] = change(leaves[path])
    return replace(model, variables=unflatten_dict(leaves, sep="/"))


def test_additions_that_have_not_learned_change_nothing(plain) -> None:
    """Layers whose results are added to what a Segment Anything has, at zero."""
    last = (
        "image_encoder/details/to_tokens",
        "image_encoder/details/eighth_out",
        "image_encoder/details/quarter_out",
        "mask_decoder/click_details",
        "mask_decoder/click_maps_tokens",
        "mask_decoder/click_maps_quarter",
        "mask_decoder/geodesics_tokens",
        "mask_decoder/geodesics_quarter",
        "mask_decoder/mask_scoring/mlp/layers_2",
    )
    leaves = flatten_dict(init_variables(CONFIG, seed=2), sep="/")
    for path, leaf in leaves.items():
        if path.removeprefix("params/").rsplit("/", 1)[0] in last:
            leaves[path] = np.zeros_like(leaf)
    leaves |= flatten_dict(dict(plain.variables), sep="/")
    model = Model(CONFIG, unflatten_dict(leaves, sep="/"))
    for prompts in (CLICK, BOX):
        for before, after in zip(answer(plain, prompts), answer(model, prompts), strict=True):
            np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


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
    for index in range(2):
        last = f"{decoder}/output_hypernetworks_mlps_{index}/layers_2"
        model = replace_leaf(model, f"{last}/kernel", jnp.zeros_like)
        model = replace_leaf(model, f"{last}/bias", lambda b: jnp.zeros_like(b).at[1].set(1))
    model = replace_leaf(model, f"{decoder}/output_upscaling/conv2/kernel", jnp.zeros_like)
    columns = jnp.broadcast_to(jnp.arange(20.0) + 10, (12, 20))
    quarter = jnp.stack([0 * columns, columns, 0 * columns, 0 * columns], axis=-1)[None]
    embeddings = FineEmbedding(
        image=jnp.zeros((1, 3, 5, 32)),
        details=to_blocks(jnp.zeros((1, 6, 10, 8)), quarter),
        costs=jnp.zeros((1, 12, 20, 4)),
    )
    click = jax.tree.map(lambda leaf: leaf[:1], CLICK)
    logits = jax.jit(
        lambda m: decode_masks(m, embeddings, encode_prompts(m, click), multimask_output=True)
    )(model).logits
    np.testing.assert_allclose(logits[0, 0, 0], columns, rtol=1e-5)


@pytest.mark.parametrize(
    ("compute", "tolerance"),
    [(Compute(prompts_at_once=4), 1e-5), (Compute(dtype="bfloat16"), 0.05)],
    ids=["prompts together", "bfloat16"],
)
def test_ways_to_compute_agree(detailed, compute, tolerance) -> None:
    expected = answer(detailed, CLICK).logits
    logits = answer(replace(detailed, compute=compute), CLICK).logits
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance * jnp.abs(expected).max())


def test_gradients_reach_the_details(detailed) -> None:
    logits, iou = answer(detailed, CLICK)
    gradients = pull_back(detailed, logits, jnp.zeros_like(iou))
    leaves = flatten_dict(gradients.variables, sep="/")
    for layer in ("stem", "step_costs/learned"):
        assert jnp.abs(leaves[f"params/image_encoder/details/{layer}/kernel"]).max() > 0


def test_a_file_keeps_additions_and_a_pth_refuses_them(detailed, tmp_path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", CONFIG, detailed.variables)
    config, variables = load_checkpoint(tmp_path / "a.safetensors")
    assert config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, variables, dict(detailed.variables))
    with pytest.raises(InputError, match=r"official PyTorch has no place .*\.safetensors"):
        save_checkpoint(tmp_path / "a.pth", CONFIG, detailed.variables)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_an_official_file_has_no_additions(plain, tmp_path) -> None:
    save_checkpoint(tmp_path / "a.pth", plain.config, plain.variables)
    with pytest.raises(
        CheckpointError, match=r"a\.pth holds a Segment Anything; a model with addit"
    ):
        load_checkpoint(tmp_path / "a.pth", config=CONFIG)


def test_the_plain_module_refuses_additions() -> None:
    with pytest.raises(InputError, match="build it with make_sam"):
        Sam(CONFIG).init(jax.random.key(0), PIXELS, method="encode_image")


@pytest.mark.parametrize("change", [{"width": 0}, {"cost_kinds": 0}])
def test_impossible_additions_are_refused(change) -> None:
    with pytest.raises(InputError, match="of `fine` are at least 1"):
        FineConfig(**change)


def test_features_are_those_that_every_model_has(detailed) -> None:
    predictor = SamPredictor(detailed)
    predictor.set_image(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8))
    assert predictor.features.shape == predictor.get_image_embedding().shape == (1, 32, 3, 5)
    image = np.asarray(predictor.embedding.features.image)
    np.testing.assert_array_equal(predictor.features[0, :, 1, 4], image[0, 1, 4])


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

    logits, iou = answer(detailed, CLICK)

    def gradients(model):
        of_iou = pull_back(model, jnp.zeros_like(logits), jnp.ones_like(iou))
        return flatten_dict(of_iou.variables, sep="/")

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
