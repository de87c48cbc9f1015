"""Simulated clicks and boxes, as an annotator would give them (SAM, appendix A), sampled on the device.

All functions are for one mask, which may be coarser than the photo: a cell is a square of pixels. Coordinates are x, y
of whole pixels in the photo's frame.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sam_jax.types import PointLabel


def sample_point(
    key: Key[Array, ""], region: Bool[Array, "h w"], cell: int, centre_share: float = 0.0
) -> Float[Array, "2"]:
    """Sample a pixel of a region: any with equal probability, or one in its middle; (0, 0) where the region is empty.

    Args:
        key: Key of random numbers.
        region: Cells in which the point may fall.
        cell: Side of a cell in pixels.
        centre_share: Probability that only the cells farthest from the region's border count.
    """
    if centre_share > 0:
        key, key_centre = jax.random.split(key)
        is_centre = jax.random.bernoulli(key_centre, centre_share)
        region = jnp.where(is_centre, _deepest(squared_depth(region)), region)
    return _draw_pixel(key, region, cell)


def squared_depth(region: Bool[Array, "h w"]) -> Int[Array, "h w"]:
    """The square of the distance, in cells, from each cell's centre to that of the nearest cell outside a region.

    What is beyond the frame is outside, as for the clicks of the evaluation (`find_centre`).

    >>> squared_depth(jnp.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], bool)).tolist()
    [[1, 1, 1, 1], [1, 4, 1, 0], [1, 1, 1, 1]]
    """
    height, width = region.shape
    rows, columns = jnp.arange(height), jnp.arange(width)[None]
    before = jax.lax.cummax(jnp.where(region, -1, columns), axis=1)
    after = jax.lax.cummin(jnp.where(region, width, columns), axis=1, reverse=True)
    along_row = jnp.minimum(columns - before, after - columns) ** 2
    of_frame = jnp.minimum(rows + 1, height - rows) ** 2

    def lower(least: Int[Array, "h w"], other: tuple[Array, Array]) -> tuple[Array, None]:
        row, along = other
        return jnp.minimum(least, (rows - row)[:, None] ** 2 + along[None]), None

    # Row by row, since all pairs of rows at once don't fit into memory for many masks.
    first = jnp.broadcast_to(of_frame[:, None], region.shape)
    return jax.lax.scan(lower, first, (rows, along_row))[0]


def _deepest(depth: Int[Array, "h w"]) -> Bool[Array, "h w"]:
    return (depth == depth.max()) & (depth > 0)


def _draw_pixel(key: Key[Array, ""], region: Bool[Array, "h w"], cell: int) -> Float[Array, "2"]:
    key_cell, key_pixel = jax.random.split(key)
    rows = jnp.cumsum(region.sum(axis=1, dtype=jnp.int32))
    rank = jax.random.randint(key_cell, (), 0, jnp.maximum(rows[-1], 1))
    row = jnp.minimum(jnp.sum(rows <= rank), region.shape[0] - 1)
    in_row = region[row]
    rank = rank - (rows[row] - in_row.sum(dtype=jnp.int32))
    column = jnp.minimum(jnp.sum(jnp.cumsum(in_row, dtype=jnp.int32) <= rank), region.shape[1] - 1)
    corner = cell * jnp.stack([column, row])
    pixel = jax.random.randint(key_pixel, (2,), 0, cell)
    return jnp.where(rows[-1] > 0, corner + pixel, 0).astype(jnp.float32)


def sample_error_point(
    key: Key[Array, ""],
    predicted: Bool[Array, "h w"],
    truth: Bool[Array, "h w"],
    inside: Bool[Array, "h w"],
    cell: int,
    centre_share: float = 0.0,
) -> tuple[Float[Array, "2"], Int[Array, ""]]:
    """Sample a point of the error region, with its label (SAM, appendix A).

    The label is foreground for a false negative pixel, background for a false positive one. Where there is no error
    left, the point is one of the truth.

    Args:
        key: Key of random numbers.
        predicted: Predicted mask.
        truth: True mask.
        inside: Cells that belong to the photo, not to the padding.
        cell: Side of a cell in pixels.
        centre_share: Probability that the point is in the middle of the false negatives or of the false positives,
            whichever are deeper, as are the clicks of the evaluation (`next_click`).
    """
    error = (predicted != truth) & inside
    region = jnp.where(error.any(), error, truth)
    if centre_share > 0:
        key, key_centre = jax.random.split(key)
        depth = jnp.maximum(squared_depth(region & truth), squared_depth(region & ~truth))
        is_centre = jax.random.bernoulli(key_centre, centre_share)
        region = jnp.where(is_centre, _deepest(depth), region)
    point = _draw_pixel(key, region, cell)
    column, row = (point // cell).astype(jnp.int32)
    label = jnp.where(truth[row, column], PointLabel.FOREGROUND, PointLabel.BACKGROUND)
    return point, label.astype(jnp.int32)


def sample_box(
    key: Key[Array, ""],
    mask: Bool[Array, "h w"],
    cell: int,
    jitter: float,
    limit: float,
) -> Float[Array, "4"]:
    """Sample a box x0, y0, x1, y1: the one around a mask, with Gaussian noise on each coordinate (SAM, appendix A).

    Args:
        key: Key of random numbers.
        mask: Mask that is not empty.
        cell: Side of a cell in pixels.
        jitter: Standard deviation of the noise, as a share of the box's side.
        limit: Largest displacement of a coordinate in pixels.
    """
    columns, rows = mask.any(axis=0), mask.any(axis=1)
    first = jnp.stack([jnp.argmax(columns), jnp.argmax(rows)])
    last = jnp.stack([x.shape[0] - 1 - jnp.argmax(x[::-1]) for x in (columns, rows)])
    low, high = cell * first.astype(jnp.float32), cell * (last + 1).astype(jnp.float32) - 1
    side = jnp.tile(high - low + 1, 2)
    noise = jitter * side * jax.random.normal(key, (4,))
    size = jnp.tile(cell * jnp.array(mask.shape[::-1], jnp.float32) - 1, 2)
    noisy = jnp.concatenate([low, high]) + jnp.clip(noise, -limit, limit)
    return jnp.clip(noisy, 0.0, size)
