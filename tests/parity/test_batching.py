"""Many images and many prompts at once give what official PyTorch gives for each alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_jax.inference import embed_images, predict_masks
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
    # By default one prompt at a time. One point is absorbed, nine are projected, each with masks and without.
    [(1, 9, True), (2, 1, True), (2, 9, False), (64, 1, False)],
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
