"""Masks at an image's full size, for those of many that deserve it, without a full-size float that outlives its mask.

Everything is transposed, columns first, since that is the order of run-length encoding.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from sam_jax.data.framing import Framing
from sam_jax.inference.upscaling import plan_upscaling
from sam_jax.ops.resize import MaskResize, resize_masks
from sam_jax.types import AnyArray

DRAWN_AT_ONCE = 32


@jax.jit
def count_pixels(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[AnyArray, " k"],
    count: Int[AnyArray, ""],
    plan: MaskResize,
    image_size: Int[AnyArray, "2"],
    offset: Float[AnyArray, ""],
) -> Int[Array, "k 2"]:
    """Pixels of the image whose logits are above `offset`, and above `-offset`.

    Args:
        logits: low-resolution masks.
        chosen: which of them to count; the first `count` entries.
        count: how many.
        plan: from `plan_upscaling`, of the transposed framing.
        image_size: (h, w), which the plan may exceed.
        offset: in logits.
    """
    rows_inside = (jnp.arange(plan.columns.shape[1]) < image_size[0])[None]
    columns_inside = jnp.arange(plan.first_row.shape[0]) < image_size[1]

    def count_one(index: Int[Array, ""], counts: Int[Array, "k 2"]) -> Int[Array, "k 2"]:
        full = resize_masks(logits[chosen[index]].T, plan)
        of_columns = [
            jnp.sum((full > level) & rows_inside, axis=1, dtype=jnp.int32)
            for level in (offset, -offset)
        ]
        both = jnp.stack([jnp.where(columns_inside, x, 0).sum() for x in of_columns])
        return counts.at[index].set(both)

    return jax.lax.fori_loop(0, count, count_one, jnp.zeros((len(chosen), 2), jnp.int32))


@jax.jit
def _draw(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[AnyArray, " d"],
    count: Int[AnyArray, ""],
    plan: MaskResize,
) -> UInt8[Array, "d w bytes"]:
    width, height = plan.first_row.shape[0], plan.columns.shape[1]

    def draw_one(
        index: Int[Array, ""], bits: UInt8[Array, "d w bytes"]
    ) -> UInt8[Array, "d w bytes"]:
        full = resize_masks(logits[chosen[index]].T, plan)
        return bits.at[index].set(jnp.packbits(full > 0, axis=1))

    bits = jnp.zeros((len(chosen), width, height // 8), jnp.uint8)
    return jax.lax.fori_loop(0, count, draw_one, bits)


def stability_scores(
    logits: Float[Array, "k h_low w_low"],
    chosen: Int[np.ndarray, " n"],
    framing: Framing,
    offset: float,
) -> Float[np.ndarray, " n"]:
    """IoU of each chosen mask at thresholds `offset` and `-offset`; nan where both are empty."""
    counts = count_pixels(
        logits,
        np.resize(chosen, len(logits)).astype(np.int32),
        np.int32(len(chosen)),
        plan_upscaling(framing.transposed),
        np.array(framing.original, np.int32),
        np.float32(offset),
    )
    inner, outer = np.asarray(counts)[: len(chosen)].astype(np.float32).T
    with np.errstate(invalid="ignore"):
        return inner / outer


def draw_masks(
    logits: Float[Array, "k h_low w_low"], chosen: Int[np.ndarray, " n"], framing: Framing
) -> list[Bool[np.ndarray, "h w"]]:
    """The chosen masks at the image's size, in column-major order."""
    height, width = framing.original
    plan = plan_upscaling(framing.transposed)
    masks: list[Bool[np.ndarray, "h w"]] = []
    for start in range(0, len(chosen), DRAWN_AT_ONCE):
        some = chosen[start : start + DRAWN_AT_ONCE]
        indices = np.resize(some, DRAWN_AT_ONCE).astype(np.int32)
        bits = np.asarray(_draw(logits, indices, np.int32(len(some)), plan))
        for mask in bits[: len(some), :width]:
            masks.append(np.unpackbits(mask, axis=1, count=height).view(bool).T)
    return masks
