"""Automatic masks at an image's full size, without ever holding a whole mask in floating point.

A mask is computed a strip of columns at a time, which stays in a CPU's cache while its pixels are counted and packed
into bits. Everything is transposed, columns first, since that is the order of run-length encoding.
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
"""Number of masks in a call; fixed, so that one compiled program serves all calls."""

STRIP = 32
"""Number of the image's columns that are computed together."""

BYTE = 8


class Strips(NamedTuple):
    """Weights that resize low-resolution logits to strips of an image's columns; both sides may exceed the image.

    Attributes:
        rows: Matrix that resizes the logits' columns to the image's height.
        first: First low-resolution column that each strip depends on.
        weights: Matrices that mix the low-resolution columns from `first` on into a strip.
        size: Height and width of the image.
    """

    rows: Float[AnyArray, "h_low h"]
    first: Int[AnyArray, " strips"]
    weights: Float[AnyArray, "strips columns band"]
    size: Int[AnyArray, "2"]


@functools.lru_cache(maxsize=8)
def plan_strips(framing: Framing) -> Strips:
    """Plan the strips of an image; images of similar size share one compiled program."""
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
    """Masks at an image's size, and the numbers that were measured meanwhile.

    Attributes:
        bits: Masks with eight pixels side by side in a byte, columns first, zeros beyond the image.
        inner: Number of pixels whose logits are above the offset, for each mask.
        outer: Number of pixels whose logits are above minus the offset, for each mask.
        boxes: First and last column and row of each mask, x0, y0, x1, y1; zeros for an empty mask.
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
    """Compute some of the masks at the image's size, and measure them.

    Args:
        logits: Low-resolution logits of all masks.
        chosen: Indices of the masks to compute; only the first `count` entries count.
        count: Number of masks to compute.
        plan: Strips of the image, from `plan_strips`.
        offset: Offset of the two thresholds of the stability score from 0, in logits.
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
    """Indices of the first and the last true flag; zeros if all are false."""
    last = jnp.where(flags.any(), len(flags) - 1 - jnp.argmax(flags[::-1]), 0)
    return jnp.argmax(flags).astype(jnp.int32), last.astype(jnp.int32)


class PackedMask(NamedTuple):
    """The part of an image that holds a mask, as bits.

    Attributes:
        bits: Mask with eight pixels side by side in a byte, as in `Drawn`.
        corner: Coordinates x, y of the part's first pixel in the image.
    """

    bits: UInt8[np.ndarray, "w_bytes h"]
    corner: tuple[int, int]


class Survivors(NamedTuple):
    """Masks that are stable enough.

    Attributes:
        indices: Index of each mask among the logits.
        masks: Packed masks, each about as large as its box.
        stability: IoU of each mask at thresholds plus and minus the offset; nan where both are empty.
        boxes: Box x0, y0, x1, y1 of each mask, as `mask_to_box_xyxy` counts.
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
    """Compute the chosen masks at the image's size, and keep those whose stability score is not below the threshold.

    Args:
        logits: Low-resolution logits of all masks.
        chosen: Indices of the masks to compute.
        framing: Place of the image in the padded input.
        offset: Offset of the two thresholds of the stability score from 0, in logits.
        threshold: Smallest stability score of a mask that is kept; 0 keeps all.
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
    """Copy the part of a mask that lies in a box, so that the memory of the rest can be freed."""
    x0, y0, x1, y1 = box
    cut = bits[x0 // BYTE : x1 // BYTE + 1, y0 : y1 + 1].copy()
    return PackedMask(cut, (x0 // BYTE * BYTE, y0))
