"""Softmax attention with SAM's decomposed relative position.

The score of query (r, c) and key (r', c') is  q·k/√d + q·H[r, r'] + q·W[c, c'] : the last two products take the query
unscaled (ViTDet, Li et al. 2022; SAM, appendix A).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.ops.batching import map_in_batches
from sam_jax.ops.windows import merge_windows, partition_windows

_einsum = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def relative_positions(
    table: Float[Array, "distances d"], side: int
) -> Float[Array, "side side d"]:
    """Row (query, key) of the result is the table's row for their distance along one axis."""
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

    No more than `heads_at_once` heads and `rows_at_once` grid rows of scores exist at a time, also in the backward
    pass, which computes them again. On a CPU one head and a few rows stay in the cache; an accelerator wants more.
    """
    b, gh, gw, heads, d = query.shape
    groups = math.gcd(heads, heads_at_once)
    rows = min(rows_at_once, gh)
    strips = -(-gh // rows)
    by_row, by_column = relative_positions(rel_pos_h, gh), relative_positions(rel_pos_w, gw)

    def group_heads(x: Array) -> Array:
        x = x.reshape(b, gh, gw, heads // groups, groups, d)
        return x.transpose(0, 3, 4, 1, 2, 5).reshape(b * heads // groups, groups, gh, gw, d)

    def fill_rows(x: Array, axis: int) -> Array:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, strips * rows - gh)
        return jnp.pad(x, widths)

    row_strips = fill_rows(by_row, 0).reshape(strips, rows, gh, d)

    def attend_heads(group: tuple[Array, Array, Array]) -> Array:
        q, k, v = group
        k_flat, v_flat = k.reshape(groups, gh * gw, d), v.reshape(groups, gh * gw, d)

        @jax.checkpoint
        def attend_strip(strip: tuple[Array, Array]) -> Array:
            q, by_row = strip
            flat = (q * d**-0.5).reshape(groups, rows * gw, d)
            scores = _einsum("gqd,gkd->gqk", flat, k_flat).reshape(groups, rows, gw, gh, gw)
            scores += _einsum("grcd,rkd->grck", q, by_row)[..., None]
            scores += _einsum("grcd,ckd->grck", q, by_column)[..., None, :]
            scores = scores.reshape(groups, rows * gw, gh * gw)
            weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
            mixed = _einsum("gqk,gkd->gqd", weights.astype(v.dtype), v_flat)
            mixed /= weights.sum(-1, keepdims=True)
            return mixed.astype(v.dtype).reshape(groups, rows, gw, d)

        q = fill_rows(q, 1).reshape(groups, strips, rows, gw, d).swapaxes(0, 1)
        mixed = jax.lax.map(attend_strip, (q, row_strips)).swapaxes(0, 1)
        return mixed.reshape(groups, strips * rows, gw, d)[:, :gh]

    mixed = jax.lax.map(attend_heads, tuple(group_heads(x) for x in (query, key, value)))
    mixed = mixed.reshape(b, heads, gh, gw, d)
    return mixed.transpose(0, 2, 3, 1, 4)


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
    """Every patch attends to the patches of its window; a window beyond the grid's edge is filled up and attended to.

    Official SAM pads its input with zeros and then projects: what fills a window has the projection's bias as its
    query, key and value. Taking the projection before its bias, only real patches need projecting.

    Relative position costs no pass over the scores: queries are extended by their products with the row and column
    tables, keys by one-hot rows and columns, and the inner product adds them.
    """
    gh, gw = qkv.shape[1:3]
    x = partition_windows(qkv, window) + qkv_bias.reshape(1, 1, 1, -1)
    b, windows, patches, _ = x.shape
    d = x.shape[-1] // (3 * heads)
    by_row, by_column = relative_positions(rel_pos_h, window), relative_positions(rel_pos_w, window)
    row, column = np.divmod(np.arange(patches), window)
    places = np.concatenate([np.eye(window)[row], np.eye(window)[column]], axis=-1)
    places = jnp.broadcast_to(jnp.asarray(places, x.dtype), (heads, patches, 2 * window))

    def attend(x: Array) -> Array:
        q, k, v = x.reshape(patches, 3, heads, d).transpose(1, 2, 0, 3)
        q_grid = q.reshape(heads, window, window, d)
        q_row = _einsum("hrcd,rkd->hrck", q_grid, by_row).reshape(heads, patches, window)
        q_column = _einsum("hrcd,ckd->hrck", q_grid, by_column).reshape(heads, patches, window)
        positions = jnp.concatenate([q_row, q_column], axis=-1).astype(q.dtype)
        q = jnp.concatenate([q * d**-0.5, positions], axis=-1)
        scores = _einsum("hqd,hkd->hqk", q, jnp.concatenate([k, places], axis=-1))
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
        mixed = _einsum("hqk,hkd->hqd", weights.astype(v.dtype), v)
        mixed /= weights.sum(-1, keepdims=True)
        return mixed.astype(x.dtype).swapaxes(0, 1).reshape(patches, heads * d)

    x = x.reshape(b * windows, patches, 3 * heads * d)
    mixed = map_in_batches(attend, x, windows_at_once)
    return merge_windows(mixed.reshape(b, windows, patches, heads * d), window, (gh, gw))
