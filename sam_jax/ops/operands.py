"""Arguments of functions that have a gradient of their own."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped

from sam_jax.types import AnyArray


def as_operand(x: Shaped[AnyArray, "*shape"]) -> Shaped[Array, "*shape"]:
    """The array as `jax.custom_vjp` takes it, whatever transformations it is under.

    Under `jax.vmap`, an array of NumPy stays one inside of the tracer, and within `jax.jit` a function with a gradient
    of its own then refuses it as a constant. A copy makes it an array of JAX, and costs nothing in compiled programs.
    """
    return jnp.copy(x)
