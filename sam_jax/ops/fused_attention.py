"""Attention by one kernel that never writes the scores to memory, with SAM's decomposed relative position.

A fused kernel takes queries, keys and values, and knows nothing of relative position. So queries are extended by their
products with the row and column tables, and keys by one-hot rows and columns: the inner product adds the positions,
as in `sam_jax.ops.attention.attend_in_windows`.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.ops.attention import relative_positions
from sam_jax.ops.windows import merge_windows, partition_windows

WIDEST_HEAD = 256
"""Largest width of an extended head that cuDNN's kernel takes."""


def extended_width(head_width: int, grid: tuple[int, int]) -> int:
    """Width of a head's extended queries and keys, a multiple of 8 as cuDNN's kernel asks for.

    Args:
        head_width: Width of a head.
        grid: Numbers of patches down and across that attend to one another.
    """
    return -(-(head_width + sum(grid)) // 8) * 8


def attend_fused(
    qkv: Float[Array, "b gh gw qkv"],
    qkv_bias: Float[Array, " qkv"],
    rel_pos_h: Float[Array, "distances_h d"],
    rel_pos_w: Float[Array, "distances_w d"],
    *,
    heads: int,
    window: int | None,
    implementation: Literal["cudnn", "xla"],
) -> Float[Array, "b gh gw width"]:
    """Every patch attends to its window, or to the whole grid.

    Windows at the grid's edge are padded, and the padding is attended to, as in
    `sam_jax.ops.attention.attend_in_windows`.

    Args:
        qkv: Queries, keys and values of the patches, one after the other, without the bias.
        qkv_bias: Bias of the projection.
        rel_pos_h: Relative positions of rows, one for each distance in a window or in the grid.
        rel_pos_w: Relative positions of columns, one for each distance in a window or in the grid.
        heads: Number of heads.
        window: Side of a window in patches; None for the whole grid.
        implementation: "cudnn" for cuDNN's kernel, which takes bfloat16 on NVIDIA GPUs from Hopper on; "xla" for the
            same arithmetic on any device, with all scores in memory.
    """
    b, gh, gw, _ = qkv.shape
    width = qkv.shape[-1] // 3
    side_h, side_w = (gh, gw) if window is None else (window, window)

    def cut(index: int) -> Float[Array, "windows side_h side_w heads d"]:
        # Each part from the projection's output on its own, so that cutting it out is one pass with what follows.
        columns = slice(index * width, (index + 1) * width)
        part = qkv[..., columns]
        if window is not None:
            part = partition_windows(part, window)
        part = part + qkv_bias[columns].reshape((1,) * (part.ndim - 1) + (width,))
        return part.reshape(-1, side_h, side_w, heads, width // heads)

    mixed = _attend(cut(0), cut(1), cut(2), rel_pos_h, rel_pos_w, implementation)
    if window is None:
        return mixed.reshape(b, gh, gw, width)
    return merge_windows(mixed.reshape(b, -1, window * window, width), window, (gh, gw))


def _attend(
    query: Float[Array, "b gh gw heads d"],
    key: Float[Array, "b gh gw heads d"],
    value: Float[Array, "b gh gw heads d"],
    rel_pos_h: Float[Array, "distances_h d"],
    rel_pos_w: Float[Array, "distances_w d"],
    implementation: Literal["cudnn", "xla"],
) -> Float[Array, "b patches heads d"]:
    b, gh, gw, heads, d = query.shape
    patches, width = gh * gw, extended_width(d, (gh, gw))
    by_row, by_column = relative_positions(rel_pos_h, gh), relative_positions(rel_pos_w, gw)
    q_row = jnp.einsum("brchd,rkd->brchk", query, by_row)
    q_column = jnp.einsum("brchd,ckd->brchk", query, by_column)
    row, column = np.divmod(np.arange(patches), gw)
    places = np.concatenate([np.eye(gh)[row], np.eye(gw)[column]], axis=-1)
    places = jnp.asarray(places, key.dtype)[None, :, None]
    places = jnp.broadcast_to(places, (b, patches, heads, gh + gw))

    def extend(*parts: Float[Array, "b ..."]) -> Float[Array, "b patches heads width"]:
        flat = [part.reshape(b, patches, heads, part.shape[-1]) for part in parts]
        missing = width - sum(part.shape[-1] for part in flat)
        return jnp.concatenate(
            [*flat, jnp.zeros((b, patches, heads, missing), flat[0].dtype)], axis=-1
        )

    mixed = jax.nn.dot_product_attention(
        extend(query * d**-0.5, q_row, q_column),
        extend(key, places),
        extend(value),
        scale=1.0,
        implementation=implementation,
    )
    return mixed[..., :d]
