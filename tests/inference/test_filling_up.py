"""Filling up changes nothing, and few programs answer any number of clicks and boxes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax import Model, SamPredictor
from sam_jax.data.framing import Framing
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompts import make_prompts, pad_points, pad_prompts, take_prompts
from sam_jax.models import abstract_variables
from sam_jax.types import Prompts
from tests.models.conftest import OBLONG


def draw_model(config):
    """A model of random weights, large enough for masks that are not empty."""
    draw = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: draw.normal(0, 0.2, leaf.shape).astype(np.float32), abstract_variables(config)
    )
    return Model(config, variables)


@pytest.fixture(scope="module")
def oblong():
    return draw_model(OBLONG)


@pytest.fixture(scope="module")
def embeddings(oblong):
    draw = np.random.default_rng(2)
    frame = oblong.config.image_encoder.image_size
    images = draw.integers(0, 256, (2, *frame, 3), np.uint8)
    return embed_images(oblong, images, np.array([frame, (frame[0], 60)]))


def draw_prompts(config, count, points, with_masks=False):
    draw = np.random.default_rng(3)
    frame = config.image_encoder.image_size
    coordinates = draw.uniform(0, min(frame), (2, count, points, 2)).astype(np.float32)
    labels = draw.integers(-1, 4, (2, count, points)).astype(np.int32)
    masks = draw.normal(0, 5, (2, count, frame[0] // 4, frame[1] // 4)).astype(np.float32)
    return Prompts(coordinates, labels, masks if with_masks else None)


@pytest.mark.parametrize(
    ("multimask_output", "with_masks"),
    [(True, True), (False, False)],
    ids=["three masks, with masks", "one mask, without"],
)
def test_filling_up_changes_nothing(oblong, embeddings, multimask_output, with_masks):
    prompts = draw_prompts(oblong.config, 3, 3, with_masks)
    plain = predict_masks(oblong, embeddings, prompts, multimask_output=multimask_output)
    filled = pad_prompts(pad_points(prompts, 16), 8)
    ours = predict_masks(oblong, embeddings, filled, multimask_output=multimask_output)
    np.testing.assert_allclose(ours.logits[:, :3], plain.logits, atol=2e-6)
    np.testing.assert_allclose(ours.iou[:, :3], plain.iou, atol=2e-6)


def test_gradients_ignore_what_fills_up(embeddings):
    # One layer and few heads of MLPs, since gradients take long to compile.
    few = replace(OBLONG.mask_decoder, depth=1, iou_head_depth=2, num_multimask_outputs=1)
    shallow = draw_model(replace(OBLONG, mask_decoder=few))
    of_both = draw_prompts(shallow.config, 1, 3)
    prompts = of_both._replace(points=of_both.points[:1], labels=of_both.labels[:1])

    def gradients(prompts):
        def loss(variables):
            model = replace(shallow, variables=variables)
            answer = predict_masks(model, embeddings[:1], prompts, multimask_output=True)
            return jnp.square(answer.logits).mean() + answer.iou.mean()

        return jax.jit(jax.grad(loss))(shallow.variables)["params"]

    plain, filled = gradients(prompts), gradients(pad_points(prompts, 4))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain["mask_decoder"])) > 0.01
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(filled), strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_predictor_takes_more_prompts_than_it_decodes_at_once(oblong):
    image = np.random.default_rng(4).integers(0, 256, (70, 90, 3), np.uint8)
    predictor = SamPredictor(oblong)
    predictor.set_image(image)
    boxes = np.random.default_rng(5).uniform(0, 60, (65, 4))
    boxes[:, 2:] += boxes[:, :2]
    masks, iou, low = predictor.predict_batch(boxes=boxes, multimask_output=False)
    assert masks.shape == (65, 1, 70, 90)
    assert 0.01 < masks.mean() < 0.99
    for index in (0, 63, 64):
        mask, score, logits = predictor.predict(box=boxes[index], multimask_output=False)
        assert (mask == masks[index]).mean() > 0.9999
        np.testing.assert_allclose(score, iou[index], atol=1e-5)
        np.testing.assert_allclose(logits, low[index], atol=1e-4)


def test_clicks_share_programs(oblong):
    predictor = SamPredictor(oblong)
    predictor.set_image(np.zeros((96, 144, 3), np.uint8))
    compiled = set()
    for clicks in range(1, 16):
        predictor.predict(np.full((clicks, 2), 40.0), np.ones(clicks), multimask_output=False)
        compiled.add(predict_masks._cache_size())
    assert len(compiled) <= 4


def test_take_prompts():
    prompts = make_prompts(
        Framing((96, 144), (96, 144), (96, 144)), boxes=np.arange(12.0).reshape(3, 4)
    )
    taken = take_prompts(prompts, slice(1, 3))
    np.testing.assert_array_equal(taken.points[0, 0], [[4, 5], [6, 7]])
