import numpy as np
import pytest

from sam_jax.data.example import Example
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.evaluation.points.annotator import Clicks
from sam_jax.evaluation.points.classical import CLASSICAL_SEGMENTERS, DISC_RADII
from sam_jax.evaluation.points.sessions import PointsConfig, click_objects


def paint_squares():
    """Two squares of their own colour, one of them in two parts."""
    masks = np.zeros((2, 40, 70), bool)
    masks[0, 5:25, 10:30] = masks[1, 8:35, 38:50] = masks[1, 8:35, 54:66] = True
    image = np.full((40, 70, 3), 20, np.uint8)
    image[masks[0]], image[masks[1]] = (220, 200, 30), (150, 220, 255)
    return Example("squares", image, list(masks))


def click(*points, memory=None):
    places = np.array([point[:2] for point in points], float)
    return Clicks(places, np.array([point[2] for point in points]), memory)


def answer(name, *objects):
    method = CLASSICAL_SEGMENTERS[name]()
    method.set_image(paint_squares().image)
    return method.answer(objects)


@pytest.mark.parametrize("name", CLASSICAL_SEGMENTERS)
def test_plain_squares_are_found(name):
    config = PointsConfig(clicks=3, noc_thresholds=())
    record = click_objects(CLASSICAL_SEGMENTERS[name](), paint_squares(), 0, config)
    whole, parts = (found["oracle"] for found in record["masks"])
    at_least = {"disc": 0.3, "felzenszwalb": 0.6}.get(name, 0.99)
    assert whole[0] > at_least
    assert parts[-1] > min(at_least, 0.8)
    assert parts[-1] >= parts[0]


@pytest.mark.parametrize("name", CLASSICAL_SEGMENTERS)
def test_three_scales_first_then_the_picked_one(name):
    (first,) = answer(name, click((20, 15, 1)))
    assert first.masks.shape == (3, 40, 70)
    assert np.argmax(first.scores) == 1
    for scale, memory in enumerate(first.memories):
        (later,) = answer(name, click((20, 15, 1), memory=memory))
        np.testing.assert_array_equal(later.masks, first.masks[scale : scale + 1])
        assert later.memories == (memory,)


@pytest.mark.parametrize("name", CLASSICAL_SEGMENTERS)
def test_objects_are_segmented_each_by_itself(name):
    one, other = click((20, 15, 1)), click((44, 20, 1), (20, 15, 0), memory=1)
    together = answer(name, one, other)
    for result, alone in zip(together, [*answer(name, one), *answer(name, other)], strict=True):
        np.testing.assert_array_equal(result.masks, alone.masks)


@pytest.mark.parametrize("name", CLASSICAL_SEGMENTERS)
def test_clicks_are_obeyed(name):
    (result,) = answer(name, click((44, 20, 1), (60, 20, 1), (20, 15, 0), memory=1))
    mask = result.masks[0]
    assert mask[20, 44]
    assert mask[20, 60]
    assert not mask[15, 20]


def test_segments_under_foreground_clicks_are_joined():
    truth = paint_squares().masks[1]
    (half,) = answer("otsu", click((44, 20, 1)))
    (both,) = answer("otsu", click((44, 20, 1), (60, 20, 1)))
    assert mask_iou(half.masks[0], truth) == 0.5
    np.testing.assert_array_equal(both.masks[0], truth)


def test_a_segment_with_clicks_of_both_kinds_is_divided():
    (result,) = answer("otsu", click((12, 15, 1), (28, 15, 0)))
    expected = paint_squares().masks[0].copy()
    expected[:, 20:] = False  # column 20 is as near to one as to the other
    np.testing.assert_array_equal(result.masks[0], expected)


def test_discs_have_the_size_that_they_say():
    method = CLASSICAL_SEGMENTERS["disc"]()
    method.set_image(np.zeros((41, 70, 3), np.uint8))
    (result,) = method.answer([click((30, 20, 1), (36, 20, 0))])
    rows, columns = np.mgrid[:41, :70]
    for mask, radius in zip(result.masks, DISC_RADII, strict=True):
        inside = np.hypot(rows - 20, columns - 30) <= radius * np.hypot(41, 70)
        np.testing.assert_array_equal(mask, inside & (columns < 33))


@pytest.mark.parametrize("name", CLASSICAL_SEGMENTERS)
def test_an_image_of_one_colour_is_no_problem(name):
    method = CLASSICAL_SEGMENTERS[name]()
    method.set_image(np.full((24, 31, 3), 99, np.uint8))
    (result,) = method.answer([click((5, 6, 1))])
    assert result.masks.shape == (3, 24, 31)
