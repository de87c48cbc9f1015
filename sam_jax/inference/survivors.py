"""Masks at an image's full size, for those of many that deserve it, without a full-size float that outlives its mask.

Everything is transposed, columns first, since that is the order of run-length encoding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from sam_jax.data.framing import Framing
from sam_jax.inference.upscaling import plan_upscaling
from sam_jax.ops.resize import MaskResize, resize_masks
from sam_jax.types import AnyArray

DRAWN_AT_ONCE = 32


class Drawn(NamedTuple):
    """Masks at an image's size, and what was measured while they were drawn.

    Attributes:
        bits: eight pixels of a column in a byte, columns first; both sides may exceed the image.
        inner, outer: pixels of the image whose logits are above the offset, and above minus the offset.
        boxes: first and last column and row of each mask, x0, y0, x1, y1; zeros for an empty one.
    """

    bits: UInt8[Array, "d w bytes"]
    inner: Int[Array, " d"]
    outer: Int[Array, " d"]
    boxes: Int[Array, "d 4"]


@jax.jit
def draw_batch(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[AnyArray, " d"],
    count: Int[AnyArray, ""],
    plan: MaskResize,
    image_size: Int[AnyArray, "2"],
    offset: Float[AnyArray, ""],
) -> Drawn:
    """Draw some of the masks and measure them, all in one pass over each mask's pixels.

    Args:
        logits: low-resolution masks.
        chosen: which of them to draw; the first `count` entries.
        count: how many.
        plan: from `plan_upscaling`, of the transposed framing.
        image_size: (h, w), which the plan may exceed.
        offset: in logits.
    """
    width, height = plan.first_row.shape[0], plan.columns.shape[1]
    is_row = jnp.arange(height) < image_size[0]
    is_column = jnp.arange(width) < image_size[1]

    def count_above(full: Float[Array, "w h"], level: Float[Array, ""]) -> Int[Array, ""]:
        of_columns = jnp.sum((full > level) & is_row[None], axis=1, dtype=jnp.int32)
        return jnp.where(is_column, of_columns, 0).sum()

    def draw(index: Int[Array, ""], drawn: Drawn) -> Drawn:
        full = resize_masks(logits[chosen[index]].T, plan)
        bits = jnp.packbits(full > 0, axis=1)
        # Of bytes there are few: columns that have a bit, and bits that any column has.
        columns = (bits != 0).any(axis=1) & is_column
        any_column = jax.lax.reduce_or(jnp.where(is_column[:, None], bits, 0), axes=(0,))
        rows = jnp.unpackbits(any_column).astype(bool) & is_row
        (left, right), (top, bottom) = _first_and_last(columns), _first_and_last(rows)
        return Drawn(
            drawn.bits.at[index].set(bits),
            drawn.inner.at[index].set(count_above(full, jnp.asarray(offset))),
            drawn.outer.at[index].set(count_above(full, -jnp.asarray(offset))),
            drawn.boxes.at[index].set(jnp.stack([left, top, right, bottom])),
        )

    none = Drawn(
        jnp.zeros((len(chosen), width, height // 8), jnp.uint8),
        jnp.zeros(len(chosen), jnp.int32),
        jnp.zeros(len(chosen), jnp.int32),
        jnp.zeros((len(chosen), 4), jnp.int32),
    )
    return jax.lax.fori_loop(0, count, draw, none)


def _first_and_last(flags: Bool[Array, " n"]) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Indices of the first and the last flag that is set; zeros if none is."""
    last = jnp.where(flags.any(), len(flags) - 1 - jnp.argmax(flags[::-1]), 0)
    return jnp.argmax(flags).astype(jnp.int32), last.astype(jnp.int32)


class Survivors(NamedTuple):
    """Masks that passed, in column-major order.

    Attributes:
        indices: which they are of those that were asked for.
        masks: at the image's size.
        stability: IoU of each mask at thresholds plus and minus the offset; nan where both are empty.
        boxes: x0, y0, x1, y1 as `mask_to_box_xyxy` counts.
    """

    indices: Int[np.ndarray, " n"]
    masks: list[Bool[np.ndarray, "h w"]]
    stability: Float[np.ndarray, " n"]
    boxes: Int[np.ndarray, "n 4"]


def draw_stable_masks(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[np.ndarray, " c"],
    framing: Framing,
    *,
    offset: float,
    threshold: float,
) -> Survivors:
    """The chosen masks at the image's size, but for those less stable than the threshold.

    Args:
        logits: low-resolution masks.
        chosen: which of them.
        framing: of the image.
        offset: how far the thresholds are from 0, in logits.
        threshold: least stability; 0 for any.
    """
    height, width = framing.original
    plan = plan_upscaling(framing.transposed)
    found = Survivors(
        np.zeros(0, np.int64), [], np.zeros(0, np.float32), np.zeros((0, 4), np.int64)
    )
    for start in range(0, len(chosen), DRAWN_AT_ONCE):
        some = chosen[start : start + DRAWN_AT_ONCE]
        drawn = draw_batch(
            logits,
            np.resize(some, DRAWN_AT_ONCE).astype(np.int32),
            np.int32(len(some)),
            plan,
            np.array(framing.original, np.int32),
            np.float32(offset),
        )
        inner, outer = (
            np.asarray(counts)[: len(some)].astype(np.float32)
            for counts in (drawn.inner, drawn.outer)
        )
        with np.errstate(invalid="ignore"):
            stability = inner / outer
        kept = np.flatnonzero((stability >= threshold) | (threshold <= 0))
        bits = np.asarray(drawn.bits)
        found = Survivors(
            np.concatenate([found.indices, some[kept]]),
            found.masks
            + [np.unpackbits(bits[i, :width], axis=1, count=height).view(bool).T for i in kept],
            np.concatenate([found.stability, stability[kept]]),
            np.concatenate([found.boxes, np.asarray(drawn.boxes, np.int64)[kept]]),
        )
    return found
