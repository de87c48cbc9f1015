"""Softmax attention with SAM's decomposed relative position.

The score of query (r, c) and key (r', c') is  q·k/√d + q·H[r, r'] + q·W[c, c'] : the last two products take the query
unscaled (ViTDet, Li et al. 2022, https://arxiv.org/abs/2203.16527; SAM, appendix A).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.ops.batching import map_images, replace_in_batches
from sam_jax.ops.windows import merge_windows, partition_windows

_einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def relative_positions(
    table: Float[Array, "distances d"], side: int
) -> Float[Array, "side side d"]:
    """The relative position of each query and key along one axis.

    Args:
        table: One row for each distance, from -(side - 1) to side - 1.
        side: Number of positions along the axis.
    """
    distance = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1
    return table[distance]


def attend_globally(
    query: Float[Array, "b gh gw heads d"],
    key: Float[Array, "b gh gw heads d"],
    value: Float[Array, "b gh gw heads d"],
    rel_pos_h: Float[Array, "distances_h d"],
    rel_pos_w: Float[Array, "distances_w d"],
    *,
    heads_at_once: int,
    rows_at_once: int,
) -> Float[Array, "b gh gw heads d"]:
    """Every patch attends to every patch, in strips of query rows.

    Only the scores of some heads and some rows of the grid exist at a time, also in the backward pass, which computes
    them again. On a CPU one head and a few rows stay in the cache; an accelerator is faster with more.

    Args:
        query: Queries of the patches.
        key: Keys of the patches.
        value: Values of the patches.
        rel_pos_h: Relative positions of rows, one for each distance.
        rel_pos_w: Relative positions of columns, one for each distance.
        heads_at_once: Number of heads, over all images, whose scores exist at a time; at least one of each image.
        rows_at_once: Number of the grid's query rows whose scores exist at a time.
    """
    b, gh, gw, _, d = query.shape
    rows = min(rows_at_once, gh)
    strips = -(-gh // rows)
    by_row, by_column = relative_positions(rel_pos_h, gh), relative_positions(rel_pos_w, gw)

    def cut_into_strips(x: Float[Array, "gh gw k"]) -> Float[Array, "strips rows gw k"]:
        x = jnp.pad(x, ((0, strips * rows - gh), (0, 0), (0, 0)))
        return x.reshape(strips, rows, gw, x.shape[-1])

    def attend_head(
        q: Float[Array, "gh gw d"], k: Float[Array, "gh gw d"], v: Float[Array, "gh gw d"]
    ) -> Float[Array, "gh gw d"]:
        q_row = _einsum("rcd,rkd->rck", q, by_row)
        q_column = _einsum("rcd,ckd->rck", q, by_column)
        k, v = k.reshape(gh * gw, d), v.reshape(gh * gw, d)

        @jax.checkpoint
        def attend_strip(
            q: Float[Array, "rows gw d"],
            q_row: Float[Array, "rows gw gh"],
            q_column: Float[Array, "rows gw gw"],
        ) -> Float[Array, "rows gw d"]:
            scores = _einsum("qd,kd->qk", (q * d**-0.5).reshape(rows * gw, d), k)
            scores = scores.reshape(rows, gw, gh, gw) + q_row[..., None] + q_column[:, :, None]
            # In two steps, for a CPU: XLA vectorises a maximum over other axes than the last.
            of_columns = jax.lax.optimization_barrier(jax.lax.stop_gradient(scores).max(axis=2))
            highest = of_columns.max(axis=-1).reshape(rows * gw, 1)
            mixed = _mix(scores.reshape(rows * gw, gh * gw), highest, v, "qk,kd->qd")
            return mixed.reshape(rows, gw, d)

        all_strips = (cut_into_strips(q), cut_into_strips(q_row), cut_into_strips(q_column))
        mixed = jax.lax.map(lambda strip: attend_strip(*strip), all_strips)
        return mixed.reshape(strips * rows, gw, d)[:gh]

    attend = functools.partial(
        replace_in_batches, attend_head, at_once=max(1, heads_at_once // max(1, b))
    )
    of_heads = (x.transpose(0, 3, 1, 2, 4) for x in (query, key, value))
    return map_images(attend, *of_heads).transpose(0, 2, 3, 1, 4)


def _mix(
    scores: Float[Array, "*heads q k"],
    highest: Float[Array, "*heads q 1"],
    values: Float[Array, "*heads k d"],
    product: str,
) -> Float[Array, "*heads q d"]:
    """Mean of the values, weighted by the softmax of the scores.

    The sum of the softmax divides the product and not the weights, which are many more numbers.

    Args:
        scores: Scores in float32.
        highest: Highest score of each query; exponentials are taken relative to it.
        values: Values of the keys.
        product: Product of weights and values in einsum's notation.
    """
    weights = jnp.exp(scores - highest)
    mixed = _einsum(product, weights.astype(values.dtype), values)
    return (mixed / weights.sum(-1, keepdims=True)).astype(values.dtype)


def attend_in_windows(
    qkv: Float[Array, "b gh gw qkv"],
    qkv_bias: Float[Array, " qkv"],
    rel_pos_h: Float[Array, "distances d"],
    rel_pos_w: Float[Array, "distances d"],
    *,
    heads: int,
    window: int,
    windows_at_once: int,
) -> Float[Array, "b gh gw width"]:
    """Every patch attends to its window; windows at the grid's edge are padded, and the padding is attended to.

    Official SAM pads the input of the projection with zeros, so padded patches have the projection's bias as their
    query, key and value. Here only real patches are projected, without the bias, and the bias is added after padding.

    Relative position costs no pass over the scores: queries are extended by their products with the row and column
    tables, keys by one-hot rows and columns, and the inner product adds them.

    Args:
        qkv: Queries, keys and values of the patches, one after the other, without the bias.
        qkv_bias: Bias of the projection.
        rel_pos_h: Relative positions of rows, one for each distance in a window.
        rel_pos_w: Relative positions of columns, one for each distance in a window.
        heads: Number of heads.
        window: Side of a window in patches.
        windows_at_once: Number of windows, over all images, that are computed together; at least one of each image.
    """
    b, gh, gw, _ = qkv.shape
    width = qkv.shape[-1] // 3
    d = width // heads
    by_row, by_column = relative_positions(rel_pos_h, window), relative_positions(rel_pos_w, window)
    patches = window * window
    row, column = np.divmod(np.arange(patches), window)
    places = np.concatenate([np.eye(window)[row], np.eye(window)[column]], axis=-1)
    places = jnp.broadcast_to(jnp.asarray(places, qkv.dtype), (heads, patches, 2 * window))

    def attend(q: Array, kv: Array) -> Array:
        q = q.reshape(patches, heads, d).swapaxes(0, 1)
        k, v = kv.reshape(patches, 2, heads, d).transpose(1, 2, 0, 3)
        q_grid = q.reshape(heads, window, window, d)
        q_row = _einsum("hrcd,rkd->hrck", q_grid, by_row).reshape(heads, patches, window)
        q_column = _einsum("hrcd,ckd->hrck", q_grid, by_column).reshape(heads, patches, window)
        positions = jnp.concatenate([q_row, q_column], axis=-1).astype(q.dtype)
        q = jnp.concatenate([q * d**-0.5, positions], axis=-1)
        scores = _einsum("hqd,hkd->hqk", q, jnp.concatenate([k, places], axis=-1))
        highest = jax.lax.stop_gradient(scores).max(axis=-1, keepdims=True)
        mixed = _mix(scores, highest, v, "hqk,hkd->hqd")
        return mixed.swapaxes(0, 1).reshape(patches, width)

    q, kv = (
        partition_windows(part, window) + bias.reshape(1, 1, 1, -1)
        for part, bias in (
            (qkv[..., :width], qkv_bias[:width]),
            (qkv[..., width:], qkv_bias[width:]),
        )
    )
    attend_image = functools.partial(
        replace_in_batches, attend, at_once=max(1, windows_at_once // max(1, b))
    )
    return merge_windows(map_images(attend_image, q, kv), window, (gh, gw))
