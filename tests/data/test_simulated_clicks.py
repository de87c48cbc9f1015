import functools

import cv2
import jax
import numpy as np
import pytest

from sam_jax.data.simulated_clicks import (
    sample_box,
    sample_error_point,
    sample_point,
    squared_depth,
)
from sam_jax.evaluation.points.annotator import find_centre, next_click
from sam_jax.types import PointLabel

REGION = np.zeros((5, 7), bool)
REGION[1, 2:4] = REGION[4, 6] = True
MANY = jax.random.split(jax.random.key(0), 4000)

depth_of = jax.jit(squared_depth)


@functools.partial(jax.jit, static_argnames=("cell", "centre_share"))
def draw_points(keys, region, cell, centre_share=0.0):
    return jax.vmap(lambda key: sample_point(key, region, cell, centre_share))(keys)


@functools.partial(jax.jit, static_argnames=("cell", "centre_share"))
def draw_error_points(keys, predicted, truth, inside, cell, centre_share=0.0):
    def draw(key):
        return sample_error_point(key, predicted, truth, inside, cell, centre_share)

    return jax.vmap(draw)(keys)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def draw_boxes(keys, mask, cell, jitter, limit):
    return jax.vmap(lambda key: sample_box(key, mask, cell, jitter, limit))(keys)


def test_every_pixel_of_a_region_has_the_same_chance():
    points = draw_points(MANY, REGION, 4)
    pixels, counts = np.unique(np.asarray(points, int), axis=0, return_counts=True)
    rows, columns = np.nonzero(np.kron(REGION, np.ones((4, 4))))
    assert {tuple(pixel) for pixel in pixels} == set(zip(columns, rows, strict=True))
    expected = len(MANY) / len(rows)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_an_empty_region_gives_the_corner():
    (point,) = draw_points(MANY[:1], np.zeros((3, 5), bool), 4)
    np.testing.assert_array_equal(point, [0, 0])


@pytest.mark.parametrize(
    ("predicted", "label"), [(np.zeros_like(REGION), 1), (np.ones_like(REGION), 0), (REGION, 1)]
)
def test_corrections_fall_on_errors(predicted, label):
    inside = (np.arange(7) < 6)[None].repeat(5, axis=0)
    points, labels = draw_error_points(MANY[:200], predicted, REGION, inside, 4)
    columns, rows = (np.asarray(points, int) // 4).T
    where = REGION if label else ~REGION
    assert where[rows, columns].all()
    assert (np.asarray(labels) == PointLabel(label)).all()
    if not np.array_equal(predicted, REGION):
        assert (columns < 6).all(), "an error in the padding is none"


def draw_blobs(seed):
    noise = np.random.default_rng(seed).normal(size=(23, 31)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2.5) > 0


@pytest.mark.parametrize("seed", range(4))
def test_depth_is_opencvs(seed):
    region = draw_blobs(seed)
    framed = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    np.testing.assert_array_equal(depth_of(region), np.rint(distance**2))


def test_depth_of_a_full_and_of_an_empty_region():
    full = np.asarray(depth_of(np.ones((4, 7), bool)))
    assert full[1].tolist() == [1, 4, 4, 4, 4, 4, 1]
    assert not np.any(depth_of(np.zeros((4, 7), bool)))


@pytest.mark.parametrize("seed", range(4))
def test_a_centre_is_where_the_evaluation_clicks(seed):
    region = draw_blobs(seed)
    depth = np.asarray(depth_of(region))
    drawn = {tuple(point) for point in np.asarray(draw_points(MANY[:300], region, 1, 1.0), int)}
    assert tuple(find_centre(region).astype(int)) in drawn
    assert drawn == {(x, y) for y, x in np.argwhere(depth == depth.max())}


def test_some_points_are_centres():
    region = np.zeros((9, 15), bool)
    region[1:8, 2:9] = region[3, 9:14] = True
    points = draw_points(MANY, region, 4, 0.3)
    is_centre = (np.asarray(points, int) // 4 == [5, 4]).all(axis=1).mean()
    expected = 0.3 + 0.7 / region.sum()
    assert abs(is_centre - expected) < 5 * np.sqrt(expected * (1 - expected) / len(MANY))
    (nothing,) = draw_points(MANY[:1], np.zeros((3, 5), bool), 4, 1.0)
    np.testing.assert_array_equal(nothing, [0, 0])


@pytest.mark.parametrize("seed", range(6))
def test_a_centred_correction_is_the_evaluations(seed):
    truth, predicted = draw_blobs(seed), draw_blobs(seed + 50)
    inside = np.ones(truth.shape, bool)
    points, labels = draw_error_points(MANY[:100], predicted, truth, inside, 1, 1.0)
    click = next_click(truth, predicted, np.zeros((0, 2)))
    assert (np.asarray(labels) == click.label).all()
    assert click.point in {tuple(point) for point in np.asarray(points).tolist()}


def test_a_centred_correction_of_a_right_mask_is_its_centre():
    points, labels = draw_error_points(MANY[:50], REGION, REGION, REGION, 4, 1.0)
    columns, rows = (np.asarray(points, int) // 4).T
    assert REGION[rows, columns].all()
    assert (np.asarray(labels) == PointLabel.FOREGROUND).all()


def test_a_box_is_the_masks():
    (box,) = draw_boxes(MANY[:1], REGION, 4, 0.0, 20.0)
    np.testing.assert_array_equal(box, [8, 4, 27, 19])


def test_a_boxs_noise():
    mask = np.zeros((200, 300), bool)
    mask[60:110, 100:125] = True  # 100 x 200 pixels
    boxes = draw_boxes(MANY, mask, 4, 0.1, 15.0)
    noise = np.asarray(boxes) - [400, 240, 499, 439]
    assert abs(noise).max() == 15
    np.testing.assert_allclose(np.mean(noise, axis=0), 0, atol=0.8)
    np.testing.assert_allclose((abs(noise) == 15).mean(axis=0), [0.134, 0.453] * 2, atol=0.03)
    unbounded = draw_boxes(MANY, mask, 4, 0.1, 1e3)
    np.testing.assert_allclose(np.std(unbounded, axis=0), [10, 20, 10, 20], rtol=0.05)


def test_a_box_stays_in_the_frame():
    boxes = draw_boxes(MANY[:50], np.ones((5, 7), bool), 4, 0.5, 20.0)
    assert float(boxes.min()) >= 0
    assert (np.asarray(boxes).max(axis=0) <= [27, 19, 27, 19]).all()
