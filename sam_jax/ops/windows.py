"""Partitioning a grid of patches into windows, and merging windows again."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.types import AnyArray


def count_windows(grid: tuple[int, int], window: int) -> tuple[int, int]:
    """Number of windows, down and across, that cover a grid (gh, gw)."""
    return -(-grid[0] // window), -(-grid[1] // window)


def partition_windows(
    x: Float[AnyArray, "b gh gw d"], window: int
) -> Float[Array, "b windows patches d"]:
    """Partition a grid into windows of `window`² patches, row by row; the last ones are padded with zeros."""
    b, gh, gw, d = x.shape
    down, across = count_windows((gh, gw), window)
    x = jnp.pad(x, ((0, 0), (0, down * window - gh), (0, across * window - gw), (0, 0)))
    x = x.reshape(b, down, window, across, window, d).swapaxes(2, 3)
    return x.reshape(b, down * across, window * window, d)


def merge_windows(
    x: Float[AnyArray, "b windows patches d"], window: int, grid: tuple[int, int]
) -> Float[Array, "b gh gw d"]:
    """Merge windows into a grid (gh, gw): the inverse of `partition_windows`, without its padding."""
    x = jnp.asarray(x)
    b, d = x.shape[0], x.shape[-1]
    down, across = count_windows(grid, window)
    x = x.reshape(b, down, across, window, window, d).swapaxes(2, 3)
    return x.reshape(b, down * window, across * window, d)[:, : grid[0], : grid[1]]
