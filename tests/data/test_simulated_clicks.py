import cv2
import jax
import jax.numpy as jnp
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


def test_every_pixel_of_a_region_has_the_same_chance():
    points = jax.vmap(lambda key: sample_point(key, jnp.asarray(REGION), 4))(MANY)
    pixels, counts = np.unique(np.asarray(points, int), axis=0, return_counts=True)
    rows, columns = np.nonzero(np.kron(REGION, np.ones((4, 4))))
    assert {tuple(pixel) for pixel in pixels} == set(zip(columns, rows, strict=True))
    expected = len(MANY) / len(rows)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_an_empty_region_gives_the_corner():
    point = sample_point(jax.random.key(0), jnp.zeros((3, 5), bool), 4)
    np.testing.assert_array_equal(point, [0, 0])


@pytest.mark.parametrize(
    ("predicted", "label"), [(np.zeros_like(REGION), 1), (np.ones_like(REGION), 0), (REGION, 1)]
)
def test_corrections_fall_on_errors(predicted, label):
    inside = jnp.asarray(np.arange(7) < 6)[None].repeat(5, axis=0)
    points, labels = jax.vmap(
        lambda key: sample_error_point(key, jnp.asarray(predicted), jnp.asarray(REGION), inside, 4)
    )(MANY[:200])
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
    np.testing.assert_array_equal(squared_depth(jnp.asarray(region)), np.rint(distance**2))


def test_depth_of_a_full_and_of_an_empty_region():
    full = np.asarray(squared_depth(jnp.ones((4, 7), bool)))
    assert full[1].tolist() == [1, 4, 4, 4, 4, 4, 1]
    assert not np.any(squared_depth(jnp.zeros((4, 7), bool)))


@pytest.mark.parametrize("seed", range(4))
def test_a_centre_is_where_the_evaluation_clicks(seed):
    region = draw_blobs(seed)
    depth = np.asarray(squared_depth(jnp.asarray(region)))
    draw = jax.jit(jax.vmap(lambda key: sample_point(key, jnp.asarray(region), 1, 1.0)))
    drawn = {tuple(point) for point in np.asarray(draw(MANY[:300]), int)}
    assert tuple(find_centre(region).astype(int)) in drawn
    assert drawn == {(x, y) for y, x in np.argwhere(depth == depth.max())}


def test_some_points_are_centres():
    region = np.zeros((9, 15), bool)
    region[1:8, 2:9] = region[3, 9:14] = True
    points = jax.vmap(lambda key: sample_point(key, jnp.asarray(region), 4, 0.3))(MANY)
    is_centre = (np.asarray(points, int) // 4 == [5, 4]).all(axis=1).mean()
    expected = 0.3 + 0.7 / region.sum()
    assert abs(is_centre - expected) < 5 * np.sqrt(expected * (1 - expected) / len(MANY))
    nothing = sample_point(jax.random.key(0), jnp.zeros((3, 5), bool), 4, 1.0)
    np.testing.assert_array_equal(nothing, [0, 0])


@pytest.mark.parametrize("seed", range(6))
def test_a_centred_correction_is_the_evaluations(seed):
    truth, predicted = draw_blobs(seed), draw_blobs(seed + 50)
    inside = jnp.ones(truth.shape, bool)
    points, labels = jax.vmap(
        lambda key: sample_error_point(
            key, jnp.asarray(predicted), jnp.asarray(truth), inside, 1, centre_share=1.0
        )
    )(MANY[:100])
    click = next_click(truth, predicted, np.zeros((0, 2)))
    assert (np.asarray(labels) == click.label).all()
    assert click.point in {tuple(point) for point in np.asarray(points).tolist()}


def test_a_centred_correction_of_a_right_mask_is_its_centre():
    truth = jnp.asarray(REGION)
    draw = jax.vmap(lambda key: sample_error_point(key, truth, truth, truth, 4, centre_share=1.0))
    points, labels = draw(MANY[:50])
    columns, rows = (np.asarray(points, int) // 4).T
    assert REGION[rows, columns].all()
    assert (np.asarray(labels) == PointLabel.FOREGROUND).all()


def test_a_box_is_the_masks():
    box = sample_box(jax.random.key(0), jnp.asarray(REGION), 4, 0.0, 20.0)
    np.testing.assert_array_equal(box, [8, 4, 27, 19])


def test_a_boxs_noise():
    mask = jnp.zeros((200, 300), bool).at[60:110, 100:125].set(True)  # 100 x 200 pixels
    boxes = jax.vmap(lambda key: sample_box(key, mask, 4, 0.1, 15.0))(MANY)
    noise = np.asarray(boxes) - [400, 240, 499, 439]
    assert abs(noise).max() == 15
    np.testing.assert_allclose(np.mean(noise, axis=0), 0, atol=0.8)
    np.testing.assert_allclose((abs(noise) == 15).mean(axis=0), [0.134, 0.453] * 2, atol=0.03)
    unbounded = jax.vmap(lambda key: sample_box(key, mask, 4, 0.1, 1e3))(MANY)
    np.testing.assert_allclose(np.std(unbounded, axis=0), [10, 20, 10, 20], rtol=0.05)


def test_a_box_stays_in_the_frame():
    boxes = jax.vmap(lambda key: sample_box(key, jnp.ones((5, 7), bool), 4, 0.5, 20.0))(MANY[:50])
    assert float(boxes.min()) >= 0
    assert (np.asarray(boxes).max(axis=0) <= [27, 19, 27, 19]).all()
