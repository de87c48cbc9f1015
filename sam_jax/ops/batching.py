"""Applying a function to every element of an array's first axis, so many at a time.

A few at a time keep the working set in a CPU's cache; an accelerator wants to see many.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def map_in_batches(function: Callable[[Any], Any], elements: Any, at_once: int) -> Any:
    """`jax.vmap` over batches of `at_once` elements, one batch after another.

    A single element goes through as it is: under `jax.vmap` the branches of `jax.lax.cond` would all be computed.
    """
    count = jax.tree.leaves(elements)[0].shape[0]
    if count == 1:
        of_one = function(jax.tree.map(lambda leaf: leaf[0], elements))
        return jax.tree.map(lambda leaf: leaf[None], of_one)
    if at_once >= count:
        return jax.vmap(function)(elements)
    if at_once == 1:
        return jax.lax.map(function, elements)
    return jax.lax.map(function, elements, batch_size=at_once)


def replace_in_batches(
    function: Callable[..., Array],
    elements: Shaped[Array, "n ..."],
    *others: Shaped[Array, "n ..."],
    at_once: int,
) -> Shaped[Array, "n ..."]:
    """Like `map_in_batches`, for a function whose result is as large as its first argument and takes its place.

    A loop then needs no buffer of its own. XLA would fill one with zeros for each loop, ahead of time and all of them
    at once, since equal zeros are one value to it.
    """
    count = elements.shape[0]
    whole = count // at_once

    def apply(*batch: Array) -> Array:
        if at_once > 1:
            return jax.vmap(function)(*batch)
        return function(*(array[0] for array in batch))[None]

    def replace(elements: Array, start: Any, size: int) -> Array:
        batch = [jax.lax.dynamic_slice_in_dim(array, start, size) for array in (elements, *others)]
        return jax.lax.dynamic_update_slice_in_dim(elements, apply(*batch), start, axis=0)

    if whole == 0:
        return apply(elements, *others)
    starts = at_once * jnp.arange(whole)
    elements, _ = jax.lax.scan(
        lambda x, start: (replace(x, start, at_once), None), elements, starts
    )
    rest = count - whole * at_once
    return replace(elements, whole * at_once, rest) if rest else elements
