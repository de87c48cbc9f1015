"""Predictor against official predictor: same weights, same photo, same prompts, same answer."""

import numpy as np
import pytest

from experiments.parity import CASES, PHOTO, SIZES, Predictors, make_pair, resize_photo
from sam_jax.models import VIT_B


def assert_equal(predictors, case, **options):
    reference, ours = predictors.predict(case, **options)
    for theirs, mine in zip(reference, ours, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert isinstance(mine, np.ndarray)
    assert 0.001 < reference[0].mean() < 0.999, "a mask of nothing or everything compares nothing"
    assert_close(predictors.compare(case, **options))


def assert_close(difference):
    assert difference.embedding <= 1e-4
    assert difference.logits <= 1e-4
    assert difference.iou <= 1e-4
    assert difference.pixels <= 1e-4


@pytest.fixture(scope="module")
def predictors(tiny):
    return Predictors(tiny, PHOTO[:300, 50:500])


@pytest.mark.parametrize("multimask_output", [True, False], ids=["three masks", "one mask"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_prompts(predictors, case, multimask_output):
    assert_equal(predictors, case, multimask_output=multimask_output)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_image_sizes(tiny, size):
    predictors, case = Predictors(tiny, resize_photo(size)), CASES["box with points"]
    official, ours = predictors.predict(case, return_logits=True)
    largest = np.abs(official[0]).max()
    np.testing.assert_allclose(ours[0], official[0], atol=1e-4 * largest)
    assert_close(predictors.compare(case))


@pytest.mark.slow
def test_vit_b(tmp_path):
    predictors = Predictors(make_pair(VIT_B, tmp_path), PHOTO)
    assert predictors.ours.get_image_embedding().shape == (1, 256, 64, 64)
    for name in ("points", "box", "box with points", "mask with point"):
        for multimask_output in (True, False):
            assert_equal(predictors, CASES[name], multimask_output=multimask_output)
