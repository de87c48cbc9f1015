"""Predictor against official predictor: same weights, same photo, same prompts, same answer."""

import numpy as np
import pytest

from experiments.parity import CASES, PHOTO, SIZES, embed_by_both, resize_photo


def assert_equal(predictors, case, **options):
    reference, ours = answers = predictors.predict(case, **options)
    for theirs, mine in zip(reference, ours, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        assert isinstance(mine, np.ndarray)
    assert 0.001 < reference[0].mean() < 0.999, "a mask of nothing or everything compares nothing"
    assert_close(predictors.measure(*answers))


def assert_close(difference):
    assert difference.embedding <= 1e-4
    assert difference.logits <= 1e-4
    assert difference.iou <= 1e-4
    assert difference.pixels <= 1e-4


@pytest.fixture(scope="module")
def predictors(tiny):
    return embed_by_both(tiny, PHOTO[:300, 50:500])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_prompts(predictors, case):
    assert_equal(predictors, case)


@pytest.mark.parametrize("name", ["box with points", "mask with point"])
def test_one_mask(predictors, name):
    assert_equal(predictors, CASES[name], multimask_output=False)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_image_sizes(tiny, size):
    predictors, case = embed_by_both(tiny, resize_photo(size)), CASES["box with points"]
    official, ours = predictors.predict(case, return_logits=True)
    largest = np.abs(official[0]).max()
    np.testing.assert_allclose(ours[0], official[0], atol=1e-4 * largest)
    assert_close(predictors.compare(case))
