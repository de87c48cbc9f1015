"""Checksums of arrays, which tell whether what was read is what was written: Orbax has none of large ones."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped, UInt32


def sum_up(tree: Any) -> list[int]:
    """The checksum of each array of a tree, the same wherever its parts lie; all processes have to call this together.

    Args:
        tree: The arrays. The devices read them once.
    """
    return [
        int(total) for total in jax.device_get([_sum_up(leaf) for leaf in jax.tree.leaves(tree)])
    ]


@jax.jit
def _sum_up(array: Shaped[Array, "..."]) -> UInt32[Array, ""]:
    """The sum of all elements' bits, each times an odd number that its place gives: no single bit goes unnoticed."""
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    bits = jax.lax.bitcast_convert_type(array, f"uint{8 * array.dtype.itemsize}")
    place = jnp.zeros(array.shape, jnp.uint32)
    for axis, length in enumerate(array.shape):
        along = jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis)
        place = place * jnp.uint32(length) + along
    weight = place * jnp.uint32(2) + jnp.uint32(1)
    return jnp.sum(bits.astype(jnp.uint32) * weight, dtype=jnp.uint32)
