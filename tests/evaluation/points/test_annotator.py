import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sam_jax.evaluation.points.annotator import (
    Click,
    Clicks,
    draw_pixel,
    find_centre,
    next_click,
)
from sam_jax.types import PointLabel

NOWHERE = np.zeros((0, 2))


def blobs(seed, size=(23, 37)):
    return gaussian_filter(np.random.default_rng(seed).standard_normal(size), 2) > 0.02


def squared_distances(region):
    """Of every pixel to the nearest one outside of the region, which all beyond the image is; the slow way."""
    framed = np.pad(region, 1)
    inside, outside = np.argwhere(framed), np.argwhere(~framed)
    squared = np.zeros(framed.shape, int)
    for row, column in inside:
        squared[row, column] = ((outside - (row, column)) ** 2).sum(axis=1).min()
    return squared[1:-1, 1:-1]


@pytest.mark.parametrize(
    ("box", "centre"),
    [
        (np.s_[2:7, 3:12], [5, 4]),  # any of columns 5 to 9: the first
        (np.s_[0:9, 0:5], [2, 2]),  # the image's edge is a border
        (np.s_[8:9, 11:12], [11, 8]),
    ],
)
def test_the_centre_is_farthest_from_the_border(box, centre):
    mask = np.zeros((9, 12), bool)
    mask[box] = True
    np.testing.assert_array_equal(find_centre(mask), centre)


@pytest.mark.parametrize("seed", range(6))
def test_the_centre_of_any_mask(seed):
    mask = blobs(seed)
    squared = squared_distances(mask)
    row, column = np.unravel_index(squared.argmax(), mask.shape)
    np.testing.assert_array_equal(find_centre(mask), [column, row])


def test_nothing_has_no_centre():
    with pytest.raises(ValueError, match="empty"):
        find_centre(np.zeros((4, 6), bool))


@pytest.mark.parametrize("seed", range(6))
def test_the_next_click_is_deepest_in_the_error(seed):
    truth, predicted = blobs(seed), blobs(seed + 100)
    missed, spilled = (squared_distances(x) for x in (truth & ~predicted, predicted & ~truth))
    deeper, label = (
        (missed, PointLabel.FOREGROUND)
        if missed.max() > spilled.max()
        else (spilled, PointLabel.BACKGROUND)
    )
    row, column = np.unravel_index(deeper.argmax(), truth.shape)
    assert next_click(truth, predicted, NOWHERE) == Click((column, row), label)


def test_a_miss_and_a_spill_are_regions_of_their_own():
    truth, predicted = np.zeros((2, 12, 30), bool)
    truth[2:9, 2:9] = True  # missed: 7 wide
    predicted[2:9, 9:14] = True  # spilled beside it: 5 wide
    assert next_click(truth, predicted, NOWHERE) == Click((5.0, 5.0), PointLabel.FOREGROUND)
    assert next_click(predicted, truth, NOWHERE) == Click((5.0, 5.0), PointLabel.BACKGROUND)


def test_a_pixel_is_clicked_once():
    truth = np.zeros((9, 12), bool)
    truth[2:5, 3:6] = True
    nothing = np.zeros_like(truth)
    clicked = []
    while click := next_click(truth, nothing, np.reshape(clicked, (-1, 2))):
        clicked.append(click.point)
    assert clicked[0] == (4, 3)
    assert len(clicked) == len(set(clicked)) == 9
    assert all(truth[int(y), int(x)] for x, y in clicked)


def test_no_click_where_all_is_right():
    truth = blobs(0)
    assert next_click(truth, truth, NOWHERE) is None


def test_points_are_drawn_from_the_whole_mask():
    mask = np.zeros((3, 5), bool)
    mask[0, 4] = mask[2, 1:3] = True
    rng = np.random.default_rng(0)
    points = [tuple(draw_pixel(mask, rng).tolist()) for _ in range(600)]
    counts = {point: points.count(point) for point in set(points)}
    assert counts.keys() == {(4, 0), (1, 2), (2, 2)}
    assert min(counts.values()) > 150


def test_clicks_add_up():
    clicks = Clicks(np.array([[3.0, 4.0]]), np.array([1]))
    more = clicks.add(Click((5.0, 6.0), PointLabel.BACKGROUND), memory="that mask")
    np.testing.assert_array_equal(more.points, [[3, 4], [5, 6]])
    np.testing.assert_array_equal(more.labels, [1, 0])
    assert more.memory == "that mask"
    assert len(clicks.points) == 1
