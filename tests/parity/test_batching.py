"""Many images and many prompts at once give what each gives alone; filling up changes nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax import SamPredictor
from sam_jax.data.framing import Framing
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompts import make_prompts, pad_points, pad_prompts, take_prompts
from sam_jax.models import Compute
from sam_jax.types import Prompts


@pytest.fixture(scope="module")
def embeddings(oblong):
    draw = np.random.default_rng(2)
    frame = oblong.config.image_encoder.image_size
    images = draw.integers(0, 256, (2, *frame, 3), np.uint8)
    fitted = np.array([frame, (96, 60)])
    return embed_images(oblong.model, images, fitted)


def draw_prompts(config, count, points, with_masks=False):
    draw = np.random.default_rng(3)
    frame = config.image_encoder.image_size
    coordinates = draw.uniform(0, min(frame), (2, count, points, 2)).astype(np.float32)
    labels = draw.integers(-1, 4, (2, count, points)).astype(np.int32)
    masks = draw.normal(0, 5, (2, count, frame[0] // 4, frame[1] // 4)).astype(np.float32)
    return Prompts(coordinates, labels, masks if with_masks else None)


def official_masks(pair, embedding, prompts, multimask_output):
    """One image's prompts by the official model; corners as the official ONNX export labels them."""
    encoder = pair.torch_model.prompt_encoder
    points, labels = torch.tensor(prompts.points), torch.tensor(prompts.labels)
    with torch.no_grad():
        sparse = encoder._embed_points(points, labels, pad=False)
        for label in (2, 3):
            sparse[labels == label] += encoder.point_embeddings[label].weight
        if prompts.masks is None:
            _, dense = encoder(points=(points, labels), boxes=None, masks=None)
        else:
            dense = encoder._embed_masks(torch.tensor(prompts.masks)[:, None])
        logits, iou = pair.torch_model.mask_decoder(
            image_embeddings=torch.tensor(np.asarray(embedding)).permute(2, 0, 1)[None],
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.01
    return logits.numpy(), iou.numpy()


@pytest.mark.parametrize(
    ("at_once", "points", "with_masks"),
    # Every two of the three choices meet: by default one prompt at a time; one point is absorbed, nine are projected.
    [(1, 1, False), (1, 9, True), (2, 1, True), (2, 9, False), (64, 1, False), (64, 9, True)],
)
def test_images_and_prompts_at_once(oblong, embeddings, at_once, points, with_masks):
    model = replace(oblong.model, compute=Compute(prompts_at_once=at_once))
    prompts = draw_prompts(oblong.config, 3, points, with_masks)
    ours = predict_masks(model, embeddings, prompts, multimask_output=True)
    for image in range(2):
        of_image = Prompts(*(None if x is None else x[image] for x in prompts))
        logits, iou = official_masks(oblong, embeddings[image], of_image, True)
        np.testing.assert_allclose(
            ours.logits[image], logits, atol=1e-4 * float(np.abs(logits).max())
        )
        np.testing.assert_allclose(ours.iou[image], iou, atol=1e-4)


@pytest.mark.parametrize("with_masks", [False, True], ids=["no masks", "masks"])
@pytest.mark.parametrize("multimask_output", [True, False], ids=["three masks", "one mask"])
def test_filling_up_changes_nothing(oblong, embeddings, multimask_output, with_masks):
    prompts = draw_prompts(oblong.config, 3, 3, with_masks)
    plain = predict_masks(oblong.model, embeddings, prompts, multimask_output=multimask_output)
    filled = pad_prompts(pad_points(prompts, 16), 8)
    ours = predict_masks(oblong.model, embeddings, filled, multimask_output=multimask_output)
    np.testing.assert_allclose(ours.logits[:, :3], plain.logits, atol=2e-6)
    np.testing.assert_allclose(ours.iou[:, :3], plain.iou, atol=2e-6)


@pytest.mark.usefixtures("quick_compilation")
def test_gradients_ignore_what_fills_up(oblong, embeddings):
    prompts = draw_prompts(oblong.config, 2, 3)

    def gradients(prompts):
        def loss(variables):
            model = replace(oblong.model, variables=variables)
            answer = predict_masks(model, embeddings, prompts, multimask_output=True)
            return jnp.square(answer.logits).mean() + answer.iou.mean()

        return jax.jit(jax.grad(loss))(oblong.model.variables)["params"]

    plain, filled = gradients(prompts), gradients(pad_points(prompts, 4))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(plain["mask_decoder"])) > 0.01
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(filled), strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_predictor_takes_more_prompts_than_it_decodes_at_once(oblong):
    image = np.random.default_rng(4).integers(0, 256, (70, 90, 3), np.uint8)
    predictor = SamPredictor(oblong.model)
    predictor.set_image(image)
    boxes = np.random.default_rng(5).uniform(0, 60, (67, 4))
    boxes[:, 2:] += boxes[:, :2]
    masks, iou, low = predictor.predict_batch(boxes=boxes, multimask_output=False)
    assert masks.shape == (67, 1, 70, 90)
    assert 0.01 < masks.mean() < 0.99
    for index in (0, 63, 64, 66):
        mask, score, logits = predictor.predict(box=boxes[index], multimask_output=False)
        assert (mask == masks[index]).mean() > 0.9999
        np.testing.assert_allclose(score, iou[index], atol=1e-5)
        np.testing.assert_allclose(logits, low[index], atol=1e-4)


def test_clicks_share_programs(oblong):
    predictor = SamPredictor(oblong.model)
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
