"""Small holes and islands, against the official function and by hand."""

import numpy as np
import pytest

from experiments.official import segment_anything
from sam_jax.ops.regions import remove_small_regions


@pytest.mark.parametrize("kind", ["holes", "islands"])
@pytest.mark.parametrize("min_area", [1, 4, 30, 10_000])
@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_equals_the_official_function(kind, min_area, density):
    mask = np.random.default_rng(3).random((37, 53)) < density
    expected, was_changed = segment_anything.utils.amg.remove_small_regions(mask, min_area, kind)
    result, is_changed = remove_small_regions(mask, min_area, kind)
    np.testing.assert_array_equal(result, expected)
    assert is_changed == was_changed


def test_diagonal_neighbours_are_connected():
    mask = np.eye(6, 9, dtype=bool)
    assert remove_small_regions(mask, 6, "islands")[1] is False
    result, is_changed = remove_small_regions(mask, 7, "islands")
    assert is_changed
    np.testing.assert_array_equal(result, mask)  # the largest stays


@pytest.mark.parametrize("kind", ["holes", "islands"])
def test_an_empty_mask_stays_empty(kind):
    result, is_changed = remove_small_regions(np.zeros((5, 8), bool), 3, kind)
    assert not result.any()
    assert not is_changed
