"""Applying a function to every element of an array's first axis, so many at a time."""

from collections.abc import Callable
from typing import Any

import jax


def map_in_batches(function: Callable[[Any], Any], elements: Any, at_once: int) -> Any:
    """`jax.vmap` over batches of `at_once` elements, one batch after another.

    One at a time keeps the working set in a CPU's cache; an accelerator wants to see many.
    """
    count = jax.tree.leaves(elements)[0].shape[0]
    if at_once >= count:
        return jax.vmap(function)(elements)
    if at_once == 1:
        return jax.lax.map(function, elements)
    return jax.lax.map(function, elements, batch_size=at_once)
