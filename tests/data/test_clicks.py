import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.data.clicks import draw_box, draw_correction, draw_point
from sam_jax.types import PointLabel

REGION = np.zeros((5, 7), bool)
REGION[1, 2:4] = REGION[4, 6] = True
MANY = jax.random.split(jax.random.key(0), 4000)


def test_every_pixel_of_a_region_has_the_same_chance():
    points = jax.vmap(lambda key: draw_point(key, jnp.asarray(REGION), 4))(MANY)
    pixels, counts = np.unique(np.asarray(points, int), axis=0, return_counts=True)
    rows, columns = np.nonzero(np.kron(REGION, np.ones((4, 4))))
    assert {tuple(pixel) for pixel in pixels} == set(zip(columns, rows, strict=True))
    expected = len(MANY) / len(rows)
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_an_empty_region_gives_the_corner():
    point = draw_point(jax.random.key(0), jnp.zeros((3, 5), bool), 4)
    np.testing.assert_array_equal(point, [0, 0])


@pytest.mark.parametrize(
    ("predicted", "label"), [(np.zeros_like(REGION), 1), (np.ones_like(REGION), 0), (REGION, 1)]
)
def test_corrections_fall_on_errors(predicted, label):
    inside = jnp.asarray(np.arange(7) < 6)[None].repeat(5, axis=0)
    points, labels = jax.vmap(
        lambda key: draw_correction(key, jnp.asarray(predicted), jnp.asarray(REGION), inside, 4)
    )(MANY[:200])
    columns, rows = (np.asarray(points, int) // 4).T
    where = REGION if label else ~REGION
    assert where[rows, columns].all()
    assert (np.asarray(labels) == PointLabel(label)).all()
    if not np.array_equal(predicted, REGION):
        assert (columns < 6).all(), "an error in the padding is none"


def test_a_box_is_the_masks():
    box = draw_box(jax.random.key(0), jnp.asarray(REGION), 4, 0.0, 20.0)
    np.testing.assert_array_equal(box, [8, 4, 27, 19])


def test_a_boxs_noise():
    mask = jnp.zeros((200, 300), bool).at[60:110, 100:125].set(True)  # 100 x 200 pixels
    boxes = jax.vmap(lambda key: draw_box(key, mask, 4, 0.1, 15.0))(MANY)
    noise = np.asarray(boxes) - [400, 240, 499, 439]
    assert abs(noise).max() == 15
    np.testing.assert_allclose(np.mean(noise, axis=0), 0, atol=0.8)
    np.testing.assert_allclose((abs(noise) == 15).mean(axis=0), [0.134, 0.453] * 2, atol=0.03)
    unbounded = jax.vmap(lambda key: draw_box(key, mask, 4, 0.1, 1e3))(MANY)
    np.testing.assert_allclose(np.std(unbounded, axis=0), [10, 20, 10, 20], rtol=0.05)


def test_a_box_stays_in_the_frame():
    boxes = jax.vmap(lambda key: draw_box(key, jnp.ones((5, 7), bool), 4, 0.5, 20.0))(MANY[:50])
    assert float(boxes.min()) >= 0
    assert (np.asarray(boxes).max(axis=0) <= [27, 19, 27, 19]).all()
