"""Applying a function to every element of an array's first axis, so many at a time.

A few at a time keep the working set in a CPU's cache; an accelerator wants to see many.

Where an axis is divided among devices, a loop over it would have every device compute everything. So images are never
looped over unless all others wait for one, and a loop over prompts takes some of every device's each time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from sam_jax.types import AnyArray


def map_images(function: Callable[..., Any], *arrays: Any) -> Any:
    """`jax.vmap` over images, which stay where they are if they are divided among devices.

    A single image goes through as it is: under `jax.vmap` the branches of `jax.lax.cond` would all be computed.

    Args:
        function: A function of one image's part of the arrays.
        *arrays: Arrays, or trees of them, whose first axis is that of images.
    """
    if jax.tree.leaves(arrays)[0].shape[0] != 1:
        return jax.vmap(function)(*arrays)
    of_one = function(*jax.tree.map(lambda leaf: leaf[0], arrays))
    return jax.tree.map(lambda leaf: leaf[None], of_one)


def map_in_batches(function: Callable[[Any], Any], elements: Any, at_once: int) -> Any:
    """`jax.vmap` over batches of up to `at_once` elements, one batch after another.

    A batch is not a stretch of neighbours, but every so manieth element: if the elements are divided among devices in
    stretches, each device has its part of every batch.

    A single element goes through as it is, as in `map_images`.
    """
    count = jax.tree.leaves(elements)[0].shape[0]
    if count == 1 or at_once >= count:
        return map_images(function, elements)
    if at_once == 1:
        return jax.lax.map(function, elements)
    return map_groups(jax.vmap(function), elements, at_once)


def map_groups(function: Callable[[Any], Any], elements: Any, at_once: int) -> Any:
    """A function of up to `at_once` elements together, applied to one such group after another.

    Groups are dealt as in `map_in_batches`. The last may hold the last element more than once.
    """
    count = jax.tree.leaves(elements)[0].shape[0]
    size = _choose_size(count, at_once)
    groups = -(-count // size)

    def deal(leaf: AnyArray) -> Array:
        leaf = jnp.asarray(leaf)
        last = jnp.broadcast_to(leaf[-1:], (size * groups - count, *leaf.shape[1:]))
        return jnp.concatenate([leaf, last]).reshape(size, groups, *leaf.shape[1:]).swapaxes(0, 1)

    def collect(leaf: Array) -> Array:
        return leaf.swapaxes(0, 1).reshape(size * groups, *leaf.shape[2:])[:count]

    return jax.tree.map(collect, jax.lax.map(function, jax.tree.map(deal, elements)))


def _choose_size(count: int, at_once: int) -> int:
    """The size of equal batches: a divisor of `count`, unless it were far smaller than `at_once`."""
    divisor = next(size for size in range(at_once, 0, -1) if count % size == 0)
    if 2 * divisor >= at_once:
        return divisor
    return -(-count // -(-count // at_once))


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
