"""Predictor against official predictor: same weights, same photo, same prompts, same answer."""

from typing import NamedTuple

import numpy as np
import pytest
import skimage.data
import skimage.transform

from experiments.official import segment_anything
from sam_jax import SamPredictor
from sam_jax.models import VIT_B
from tests.parity.conftest import make_pair

PHOTO = skimage.data.coffee()


class Case(NamedTuple):
    """Prompts in units of the image's width and height."""

    points: list | None = None
    labels: list | None = None
    box: list | None = None
    with_mask: bool = False


CASES = {
    "point": Case([[0.4, 0.6]], [1]),
    "points": Case([[0.4, 0.6], [0.1, 0.2], [0.8, 0.9]], [1, 0, 1]),
    "many points": Case(np.linspace([0.1, 0.9], [0.9, 0.1], 13).tolist(), [1, 0] * 6 + [1]),
    "no point": Case([[0.4, 0.6], [0, 0]], [1, -1]),
    "box": Case(box=[0.2, 0.3, 0.7, 0.8]),
    "box with points": Case([[0.4, 0.6], [0.6, 0.4]], [1, 0], [0.2, 0.3, 0.7, 0.8]),
    "mask": Case(with_mask=True),
    "mask with point": Case([[0.4, 0.6]], [1], with_mask=True),
    "mask with box and point": Case([[0.5, 0.5]], [0], [0.2, 0.3, 0.7, 0.8], True),
}

SIZES = {
    "smaller than the input": (201, 333),
    "larger": (900, 700),
    "one pixel high after resizing": (2, 700),
    "one pixel wide": (500, 1),
    "a single pixel": (1, 1),
}


def predict_with_both(pair, image, case, **options):
    height, width = image.shape[:2]
    scale = np.array([width, height])
    arguments = {
        "point_coords": None if case.points is None else np.array(case.points) * scale,
        "point_labels": None if case.labels is None else np.array(case.labels),
        "box": None if case.box is None else np.array(case.box) * np.tile(scale, 2),
    }
    official = segment_anything.SamPredictor(pair.torch_model)
    ours = SamPredictor(pair.model)
    official.set_image(image)
    ours.set_image(image)
    if case.with_mask:
        draw = np.random.default_rng(1)
        side = [4 * side for side in pair.config.image_encoder.grid]
        arguments["mask_input"] = draw.normal(0, 5, (1, *side)).astype(np.float32)
    return official.predict(**arguments, **options), ours.predict(**arguments, **options)


def assert_equal(reference, ours):
    for theirs, mine in zip(reference, ours, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert isinstance(mine, np.ndarray)
    assert 0.001 < reference[0].mean() < 0.999, "a mask of nothing or everything compares nothing"
    assert (reference[0] == ours[0]).mean() >= 0.9999
    np.testing.assert_allclose(ours[1], reference[1], atol=1e-4)
    largest = np.abs(reference[2]).max()
    np.testing.assert_allclose(ours[2], reference[2], atol=1e-4 * largest)


@pytest.mark.parametrize("multimask_output", [True, False], ids=["three masks", "one mask"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_prompts(tiny, case, multimask_output):
    assert_equal(
        *predict_with_both(tiny, PHOTO[:300, 50:500], case, multimask_output=multimask_output)
    )


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_image_sizes(tiny, size):
    image = skimage.transform.resize(PHOTO, size, preserve_range=True).astype(np.uint8)
    official, ours = predict_with_both(tiny, image, CASES["box with points"], return_logits=True)
    largest = np.abs(official[0]).max()
    np.testing.assert_allclose(ours[0], official[0], atol=1e-4 * largest)
    np.testing.assert_allclose(ours[1], official[1], atol=1e-4)
    assert ((official[0] > 0) == (ours[0] > 0)).mean() >= 0.9999


@pytest.mark.slow
def test_vit_b(tmp_path):
    pair = make_pair(VIT_B, tmp_path)
    official, ours = segment_anything.SamPredictor(pair.torch_model), SamPredictor(pair.model)
    official.set_image(PHOTO)
    ours.set_image(PHOTO)
    reference, embedding = official.get_image_embedding().numpy(), ours.get_image_embedding()
    assert embedding.shape == reference.shape
    np.testing.assert_allclose(embedding, reference, atol=1e-4 * np.abs(reference).max())
    prompts = {"point_coords": np.array([[300, 180], [20, 390]]), "point_labels": np.array([1, 0])}
    for options in (
        {},
        {"multimask_output": False},
        {"box": np.array([180, 80, 420, 300])},
        {"mask_input": official.predict(**prompts)[2][:1]},
    ):
        assert_equal(official.predict(**prompts, **options), ours.predict(**prompts, **options))
