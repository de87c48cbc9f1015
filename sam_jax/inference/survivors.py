"""Masks at an image's full size, for those of many that deserve it, without ever holding one as floats.

A mask is drawn a strip of columns at a time, which stays in a CPU's cache while it is counted and packed into bits.
Everything is transposed, columns first, since that is the order of run-length encoding.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from sam_jax.data.framing import Framing
from sam_jax.inference.upscaling import plan_upscaling
from sam_jax.ops.resize import TAPS
from sam_jax.types import AnyArray

DRAWN_AT_ONCE = 16
"""Masks of a call, whose number has to be the same from call to call."""

STRIP = 32
"""Columns of the image that are drawn together."""

BYTE = 8


class Strips(NamedTuple):
    """How strips of an image's columns are made of low-resolution logits; both sides may exceed the image.

    Attributes:
        rows: matrix that brings the logits' columns to the image's height.
        first: low-resolution column that a strip begins with.
        weights: matrices that mix the low-resolution columns from there on into a strip.
        size: (h, w) of the image.
    """

    rows: Float[AnyArray, "h_low h"]
    first: Int[AnyArray, " strips"]
    weights: Float[AnyArray, "strips columns band"]
    size: Int[AnyArray, "2"]


@functools.lru_cache(maxsize=8)
def plan_strips(framing: Framing) -> Strips:
    """Strips of an image; images of similar size share one compiled program."""
    plan = plan_upscaling(framing.transposed)
    first_of_column = np.asarray(plan.first_row).reshape(-1, STRIP)
    needed = int((first_of_column[:, -1] + TAPS - first_of_column[:, 0]).max())
    columns_low = framing.low_size[1]
    band = min(1 << (needed - 1).bit_length(), columns_low)
    first = np.minimum(first_of_column[:, 0], columns_low - band)
    weights = np.zeros((len(first), STRIP, band), np.float32)
    taps = np.asarray(plan.row_weights).reshape(TAPS, -1, STRIP)
    strip, column = np.indices(first_of_column.shape)
    for tap in range(TAPS):
        np.add.at(weights, (strip, column, first_of_column + tap - first[:, None]), taps[tap])
    return Strips(
        rows=plan.columns,
        first=first.astype(np.int32),
        weights=weights,
        size=np.array(framing.original, np.int32),
    )


class Drawn(NamedTuple):
    """Masks at an image's size, and what was measured while they were drawn.

    Attributes:
        bits: of eight pixels side by side in a byte; columns first; zeros beyond the image.
        inner, outer: pixels of the image whose logits are above the offset, and above minus the offset.
        boxes: first and last column and row of each mask, x0, y0, x1, y1; zeros for an empty one.
    """

    bits: UInt8[Array, "d w_bytes h"]
    inner: Int[Array, " d"]
    outer: Int[Array, " d"]
    boxes: Int[Array, "d 4"]


@jax.jit
def draw_batch(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[AnyArray, " d"],
    count: Int[AnyArray, ""],
    plan: Strips,
    offset: Float[AnyArray, ""],
) -> Drawn:
    """Draw some of the masks and measure them.

    Args:
        logits: low-resolution masks.
        chosen: which of them to draw; the first `count` entries.
        count: how many.
        plan: from `plan_strips`.
        offset: in logits.
    """
    strips, height = plan.first.shape[0], plan.rows.shape[1]
    band = plan.weights.shape[2]
    is_row = jnp.arange(height) < plan.size[0]
    is_column = (jnp.arange(strips * STRIP) < plan.size[1]).reshape(strips, STRIP)
    weight_of_bit = 1 << jnp.arange(BYTE - 1, -1, -1, dtype=jnp.int32)
    offset = jnp.asarray(offset)

    def draw(index: Int[Array, ""], drawn: Drawn) -> Drawn:
        tall = logits[chosen[index]].T @ plan.rows

        def draw_strip(
            strip: tuple[Array, Array, Array],
        ) -> tuple[Int[Array, " h"], Int[Array, " h"], UInt8[Array, "bytes h"]]:
            first, weights, inside = strip
            full = weights @ jax.lax.dynamic_slice_in_dim(tall, first, band)
            # One product for the three readers, which would otherwise each have their own.
            full = jax.lax.optimization_barrier(full)
            inside = inside[:, None]
            inner = jnp.sum((full > offset) & inside, axis=0, dtype=jnp.int32)
            outer = jnp.sum((full > -offset) & inside, axis=0, dtype=jnp.int32)
            pixels = ((full > 0) & inside).reshape(STRIP // BYTE, BYTE, height)
            bits = jnp.sum(jnp.where(pixels, weight_of_bit[None, :, None], 0), axis=1)
            return inner, outer, bits.astype(jnp.uint8)

        inner, outer, bits = jax.lax.map(draw_strip, (plan.first, plan.weights, is_column))
        bits = jnp.where(is_row, bits.reshape(-1, height), jnp.uint8(0))
        left, right = _first_and_last(
            jnp.unpackbits(jax.lax.reduce_or(bits, axes=(1,))).astype(bool)
        )
        top, bottom = _first_and_last((bits != 0).any(axis=0))
        return Drawn(
            drawn.bits.at[index].set(bits),
            drawn.inner.at[index].set(jnp.where(is_row, inner.sum(axis=0), 0).sum()),
            drawn.outer.at[index].set(jnp.where(is_row, outer.sum(axis=0), 0).sum()),
            drawn.boxes.at[index].set(jnp.stack([left, top, right, bottom])),
        )

    none = Drawn(
        jnp.zeros((len(chosen), strips * STRIP // BYTE, height), jnp.uint8),
        jnp.zeros(len(chosen), jnp.int32),
        jnp.zeros(len(chosen), jnp.int32),
        jnp.zeros((len(chosen), 4), jnp.int32),
    )
    return jax.lax.fori_loop(0, count, draw, none)


def _first_and_last(flags: Bool[Array, " n"]) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """Indices of the first and the last flag that is set; zeros if none is."""
    last = jnp.where(flags.any(), len(flags) - 1 - jnp.argmax(flags[::-1]), 0)
    return jnp.argmax(flags).astype(jnp.int32), last.astype(jnp.int32)


class PackedMask(NamedTuple):
    """The bits of the part of an image that holds a mask.

    Attributes:
        bits: as `Drawn` has them.
        corner: x, y of the part's first pixel in the image.
    """

    bits: UInt8[np.ndarray, "w_bytes h"]
    corner: tuple[int, int]


class Survivors(NamedTuple):
    """Masks that passed.

    Attributes:
        indices: which they are of those that were asked for.
        masks: each about as large as its box.
        stability: IoU of each mask at thresholds plus and minus the offset; nan where both are empty.
        boxes: x0, y0, x1, y1 as `mask_to_box_xyxy` counts.
    """

    indices: Int[np.ndarray, " n"]
    masks: list[PackedMask]
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
    plan = plan_strips(framing)

    def draw(some: Int[np.ndarray, " c"]) -> Survivors:
        filled = np.resize(some, DRAWN_AT_ONCE).astype(np.int32)
        drawn = draw_batch(logits, filled, np.int32(len(some)), plan, np.float32(offset))
        inner, outer = (
            np.asarray(counts)[: len(some)].astype(np.float32)
            for counts in (drawn.inner, drawn.outer)
        )
        with np.errstate(invalid="ignore"):
            stability = inner / outer
        kept = np.flatnonzero((stability >= threshold) | (threshold <= 0))
        bits = np.asarray(drawn.bits)
        boxes = np.asarray(drawn.boxes, np.int64)[kept]
        masks = [_cut_out(bits[i], box) for i, box in zip(kept, boxes.tolist(), strict=True)]
        return Survivors(some[kept], masks, stability[kept], boxes)

    batches = [
        chosen[start : start + DRAWN_AT_ONCE] for start in range(0, len(chosen), DRAWN_AT_ONCE)
    ]
    if not batches:
        batches = [chosen]
    # A strip is too little work to divide among a CPU's cores, so batches are.
    with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as threads:
        parts = list(threads.map(draw, batches))
    indices, masks, stability, boxes = zip(*parts, strict=True)
    return Survivors(
        np.concatenate(indices),
        [mask for some in masks for mask in some],
        np.concatenate(stability),
        np.concatenate(boxes),
    )


def _cut_out(bits: UInt8[np.ndarray, "w_bytes h"], box: list[int]) -> PackedMask:
    """A copy of what lies in a box, so that the rest can go."""
    x0, y0, x1, y1 = box
    cut = bits[x0 // BYTE : x1 // BYTE + 1, y0 : y1 + 1].copy()
    return PackedMask(cut, (x0 // BYTE * BYTE, y0))
