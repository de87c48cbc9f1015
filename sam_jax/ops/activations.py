"""Activation functions of transformers: SAM's, and CLIP's."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.ops.operands import as_operand
from sam_jax.types import AnyArray

_NORMALISER = 1 / math.sqrt(2 * math.pi)


def gelu(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """The exact GELU, x·Φ(x), by the error function, in float32; Flax's default is the tanh approximation.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, https://arxiv.org/abs/1606.08415.

    The gradient, Φ(x) + x·φ(x), is computed from x again, behind an optimisation barrier: XLA on a CPU would otherwise
    repeat its computation inside each of the products that use it.
    """
    return _with_gradient(as_operand(x))


@jax.custom_vjp
def _with_gradient(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return _gelu(x)


def _gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    z = x.astype(jnp.float32)
    return (z * _cumulative(z)).astype(x.dtype)


def _cumulative(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return 0.5 * (1 + jax.lax.erf(z * math.sqrt(0.5)))


def _forward(x: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    return _gelu(x), x


def _backward(
    x: Float[Array, "*shape"], gradient: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"]]:
    z = x.astype(jnp.float32)
    slope = _cumulative(z) + z * _NORMALISER * jnp.exp(-0.5 * z * z)
    product = (gradient.astype(jnp.float32) * slope).astype(x.dtype)
    return (jax.lax.optimization_barrier(product),)


_with_gradient.defvjp(_forward, _backward)


def quick_gelu(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """The sigmoid approximation of GELU, x·sigmoid(1.702 x), which OpenAI's CLIP has.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, https://arxiv.org/abs/1606.08415, section 2.

    >>> quick_gelu(jnp.array([0.0, 1.0])).tolist()
    [0.0, 0.8457958102226257]
    """
    return jnp.asarray(x) * jax.nn.sigmoid(1.702 * jnp.asarray(x))
