"""Attention between a few tokens and the many patches of an image, with the image's projections absorbed.

A projection of the image meets only a few tokens, so it can be applied to the tokens instead: q·(W x) = (Wᵀ q)·x. With
t tokens, heads·t columns take the place of the projection's width. The same holds for values and outputs:
Σ a (W x) = W (Σ a x). Biases of keys cancel in the softmax; those of values pass through, since weights sum to 1.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.types import AnyArray

Kernel = Float[AnyArray, "width heads d"]


def tokens_to_image(
    query: Float[AnyArray, "t heads d"],
    keys: Float[AnyArray, "s width"],
    values: Float[AnyArray, "s width"],
    key_kernel: Kernel,
    value_kernel: Kernel,
    value_bias: Float[AnyArray, "heads d"],
) -> Float[Array, "t heads d"]:
    """Projected tokens attend to an image that is not projected.

    Args:
        query: Projected queries of the tokens.
        keys: Image features that the keys are projections of.
        values: Image features that the values are projections of.
        key_kernel: Kernel of the projection to keys.
        value_kernel: Kernel of the projection to values.
        value_bias: Bias of the projection to values.
    """
    t, heads, d = query.shape
    absorbed = jnp.einsum("thd,whd->htw", query * d**-0.5, key_kernel).astype(keys.dtype)
    scores = jnp.einsum(
        "kw,sw->ks", absorbed.reshape(heads * t, -1), keys, preferred_element_type=jnp.float32
    )
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    mixed = jnp.einsum("ks,sw->kw", weights, values).reshape(heads, t, -1)
    return jnp.einsum("htw,whd->thd", mixed, value_kernel) + value_bias[None]


def image_to_tokens(
    queries: Float[AnyArray, "s width"],
    key: Float[AnyArray, "t heads d"],
    value: Float[AnyArray, "t heads d"],
    query_kernel: Kernel,
    query_bias: Float[AnyArray, "heads d"],
    out_kernel: Float[AnyArray, "heads d width"],
    present: Bool[AnyArray, " t"],
) -> Float[Array, "s width"]:
    """An image that is not projected attends to projected tokens; the output projection is applied without its bias.

    Args:
        queries: Image features that the queries are projections of.
        key: Projected keys of the tokens.
        value: Projected values of the tokens.
        query_kernel: Kernel of the projection to queries.
        query_bias: Bias of the projection to queries.
        out_kernel: Kernel of the output projection.
        present: Which tokens take part.
    """
    t, heads, d = key.shape
    key = key * d**-0.5
    absorbed = jnp.einsum("whd,thd->wht", query_kernel, key).astype(queries.dtype)
    offset = jnp.einsum("hd,thd->ht", query_bias, key).astype(jnp.float32)
    offset = jnp.where(present[None], offset, -jnp.inf)
    scores = jnp.einsum(
        "sw,wk->sk", queries, absorbed.reshape(-1, heads * t), preferred_element_type=jnp.float32
    )
    weights = jax.nn.softmax(scores.reshape(-1, heads, t) + offset[None], axis=-1)
    mixed = jnp.einsum("thd,hdw->htw", value, out_kernel).reshape(heads * t, -1)
    return weights.reshape(-1, heads * t).astype(queries.dtype) @ mixed.astype(queries.dtype)
