"""Simulated clicks and boxes, as an annotator would give them (SAM, appendix A), drawn on the device.

All functions are for one mask, which may be coarser than the photo: a cell is a square of pixels. Coordinates are x, y
of whole pixels in the photo's frame.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from sam_jax.types import PointLabel


def draw_point(key: Key[Array, ""], region: Bool[Array, "h w"], cell: int) -> Float[Array, "2"]:
    """A pixel of a region, all with equal chance; the upper left one where the region is empty.

    Args:
        key: for random numbers.
        region: where the point may fall.
        cell: side of the region's cells in pixels.
    """
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


def draw_correction(
    key: Key[Array, ""],
    predicted: Bool[Array, "h w"],
    truth: Bool[Array, "h w"],
    inside: Bool[Array, "h w"],
    cell: int,
) -> tuple[Float[Array, "2"], Int[Array, ""]]:
    """A point of the error region and its label: foreground where the mask missed, background where it spilled.

    Where there is no error left, a point of the truth.

    Args:
        key: for random numbers.
        predicted: the mask as it is.
        truth: as it should be.
        inside: what belongs to the photo.
        cell: side of the masks' cells in pixels.
    """
    error = (predicted != truth) & inside
    region = jnp.where(error.any(), error, truth)
    point = draw_point(key, region, cell)
    column, row = (point // cell).astype(jnp.int32)
    label = jnp.where(truth[row, column], PointLabel.FOREGROUND, PointLabel.BACKGROUND)
    return point, label.astype(jnp.int32)


def draw_box(
    key: Key[Array, ""],
    mask: Bool[Array, "h w"],
    cell: int,
    jitter: float,
    limit: float,
) -> Float[Array, "4"]:
    """The box x0, y0, x1, y1 around a mask, each coordinate off by Gaussian noise.

    Args:
        key: for random numbers.
        mask: not empty.
        cell: side of the mask's cells in pixels.
        jitter: standard deviation of the noise, as a share of the box's side.
        limit: most that a coordinate is moved, in pixels.
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
