import numpy as np
import pytest
from pycocotools import mask as coco

from sam_jax.data.pixel_runs import bound_runs, draw_runs, find_label_runs, find_runs, measure_cells

RNG = np.random.default_rng(0)
SIZES = [(1, 1), (1, 9), (9, 1), (7, 12), (23, 11)]


def overlaps(edges: np.ndarray, length: int) -> np.ndarray:
    """How much of each pixel lies in each cell, along one axis."""
    pixels = np.arange(length)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    return np.maximum(high - low, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [0, 0.1, 0.5, 1])
def test_masks_are_read_and_drawn(size, density):
    mask = RNG.random(size) < density
    runs = find_runs(mask)
    np.testing.assert_array_equal(draw_runs(runs), mask)
    assert runs.area == mask.sum()
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        (top, bottom), (left, right) = bound_runs(runs)
        assert (left, right) == (columns[0], columns[-1] + 1)
        assert top <= rows[0]
        assert bottom >= rows[-1] + 1
    else:
        assert bound_runs(runs) == ((0, 0), (0, 0))


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_read_all_at_once(size):
    labels = RNG.choice(np.array([0, 1, 2, 300], np.uint16), size)
    runs = find_label_runs(labels)
    for label in (1, 2, 300):
        np.testing.assert_array_equal(draw_runs(runs.of(label)), labels == label)
    assert 0 not in runs.labels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [0, 0.1, 0.6, 1])
def test_areas_of_cells_are_exact(size, density):
    for _ in range(5):
        mask = RNG.random(size) < density
        rows, columns = (np.sort(RNG.uniform(0, side, 6)) for side in size)
        expected = overlaps(rows, size[0]) @ mask @ overlaps(columns, size[1]).T
        np.testing.assert_allclose(
            measure_cells(find_runs(mask), rows, columns), expected, atol=1e-9
        )


def test_areas_of_cells_that_are_smaller_than_pixels():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    areas = measure_cells(find_runs(mask), np.arange(0, 3.25, 0.25), np.arange(0, 4.5, 0.5))
    assert areas.sum() == 1
    np.testing.assert_array_equal(areas[4:8, 4:6], np.full((4, 2), 0.125))


def test_whole_cells_agree_with_pycocotools():
    rows, columns = np.mgrid[:48, :64]
    mask = np.hypot(rows - 20, columns - 40) < 17
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    areas = measure_cells(find_runs(mask), np.arange(0, 49, 4.0), np.arange(0, 65, 4.0))
    assert areas.sum() == coco.area(rle)
    np.testing.assert_array_equal(areas, mask.reshape(12, 4, 16, 4).sum(axis=(1, 3)))
