"""Attention by one kernel that never writes the scores to memory, with SAM's decomposed relative position.

A fused kernel takes queries, keys and values, and knows nothing of relative position. So queries are extended by their
products with the row and column tables, and keys by one-hot rows and columns: the inner product adds the positions,
as in `sam_jax.ops.attention.attend_in_windows`.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.ops.attention import relative_positions
from sam_jax.ops.windows import merge_windows, partition_windows

Kernel = Literal["cudnn", "splash", "xla"]
"""cuDNN's kernel, for bfloat16 on NVIDIA GPUs from Hopper on; JAX's splash attention, for TPUs; or the same arithmetic
on any device, with all scores in memory."""
WIDEST_HEAD = 256
"""Largest width of an extended head that cuDNN's kernel takes."""
LANES = 128
"""Numbers of patches, and widths of extended heads, that splash attention takes are multiples of it."""
SPLASH_BLOCKS = (512, 256, 128)
"""Numbers of queries, and of keys, whose scores a TPU holds at a time; the largest that divides the patches is used."""


def extended_width(kernel: Kernel, head_width: int, grid: tuple[int, int]) -> int:
    """Width of a head's extended queries and keys.

    Args:
        kernel: The kernel, which asks for a multiple of 8, or of 128 on TPUs.
        head_width: Width of a head.
        grid: Numbers of patches down and across that attend to one another.
    """
    multiple = LANES if kernel == "splash" else 8
    return -(-(head_width + sum(grid)) // multiple) * multiple


def fits(kernel: Kernel, head_width: int, grid: tuple[int, int]) -> bool:
    """Whether a kernel takes heads of this width over this grid.

    Args:
        kernel: The kernel.
        head_width: Width of a head.
        grid: Numbers of patches down and across that attend to one another.
    """
    if kernel == "splash":
        return grid[0] * grid[1] % LANES == 0
    return kernel == "xla" or extended_width(kernel, head_width, grid) <= WIDEST_HEAD


def attend_fused(
    qkv: Float[Array, "b gh gw qkv"],
    qkv_bias: Float[Array, " qkv"],
    rel_pos_h: Float[Array, "distances_h d"],
    rel_pos_w: Float[Array, "distances_w d"],
    *,
    heads: int,
    window: int | None,
    kernel: Kernel,
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
        kernel: Kernel that computes it; it must fit, see `fits`.
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

    mixed = _attend(cut(0), cut(1), cut(2), rel_pos_h, rel_pos_w, kernel)
    if window is None:
        return mixed.reshape(b, gh, gw, width)
    return merge_windows(mixed.reshape(b, -1, window * window, width), window, (gh, gw))


def _attend(
    query: Float[Array, "b gh gw heads d"],
    key: Float[Array, "b gh gw heads d"],
    value: Float[Array, "b gh gw heads d"],
    rel_pos_h: Float[Array, "distances_h d"],
    rel_pos_w: Float[Array, "distances_w d"],
    kernel: Kernel,
) -> Float[Array, "b patches heads d"]:
    b, gh, gw, heads, d = query.shape
    patches, width = gh * gw, extended_width(kernel, d, (gh, gw))
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

    extended = extend(query * d**-0.5, q_row, q_column), extend(key, places)
    if kernel == "splash":
        return _splash(*extended, value.reshape(b, patches, heads, d))
    mixed = jax.nn.dot_product_attention(*extended, extend(value), scale=1.0, implementation=kernel)
    return mixed[..., :d]


def _splash(
    query: Float[Array, "b patches heads width"],
    key: Float[Array, "b patches heads width"],
    value: Float[Array, "b patches heads d"],
) -> Float[Array, "b patches heads d"]:
    # Imported here: Pallas takes a while, and only TPUs need it.
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        BlockSizes,
        FullMask,
        MultiHeadMask,
        make_splash_mha,
    )

    b, patches, heads, _ = query.shape
    block = next(block for block in SPLASH_BLOCKS if patches % block == 0)
    attend: Any = make_splash_mha(
        MultiHeadMask([FullMask((patches, patches))] * (b * heads)),
        block_sizes=BlockSizes(
            block_q=block,
            block_kv=block,
            block_q_dkv=block,
            block_kv_dkv=block,
            block_q_dq=block,
            block_kv_dq=block,
        ),
        head_shards=1,
        q_seq_shards=1,
    )
    # Images are more heads to the kernel.
    of_heads = (
        part.swapaxes(1, 2).reshape(b * heads, patches, part.shape[-1])
        for part in (query, key, value)
    )
    return attend(*of_heads).reshape(b, heads, patches, value.shape[-1]).swapaxes(1, 2)
