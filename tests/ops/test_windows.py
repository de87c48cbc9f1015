import jax.numpy as jnp
import numpy as np

from sam_jax.ops.windows import count_windows, merge_windows, partition_windows


def test_windows_come_row_by_row_and_are_filled_with_zeros():
    grid = jnp.arange(1.0, 16.0).reshape(1, 3, 5, 1)
    windows = partition_windows(grid, 2)
    assert count_windows((3, 5), 2) == (2, 3)
    np.testing.assert_array_equal(windows[0, 0, :, 0], [1, 2, 6, 7])
    np.testing.assert_array_equal(windows[0, 2, :, 0], [5, 0, 10, 0])
    np.testing.assert_array_equal(windows[0, 3, :, 0], [11, 12, 0, 0])


def test_merging_undoes_partitioning():
    grid = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 10, 3), np.float32))
    merged = merge_windows(partition_windows(grid, 4), 4, (7, 10))
    np.testing.assert_array_equal(merged, grid)
