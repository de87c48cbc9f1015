"""Layer normalisation, and vectors of unit length."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.ops.operands import as_operand
from sam_jax.types import AnyArray


def layer_norm(
    x: Float[AnyArray, "*shape d"],
    scale: Float[AnyArray, " d"],
    bias: Float[AnyArray, " d"],
    epsilon: float,
) -> Float[Array, "*shape d"]:
    """Normalise every vector along the last axis to mean 0 and variance 1, then scale and shift it.

    Ba et al., "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450.

    The gradient is in closed form, from x again. It takes a fraction of the passes over memory that differentiating
    mean and variance takes. An optimisation barrier keeps XLA on a CPU from repeating it in every product that uses it.

    Args:
        x: Vectors in float32.
        scale: Factor of each channel.
        bias: Summand of each channel.
        epsilon: Summand of the variance, against division by zero.
    """
    return _with_gradient(as_operand(x), as_operand(scale), as_operand(bias), epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _with_gradient(
    x: Float[Array, "*shape d"], scale: Float[Array, " d"], bias: Float[Array, " d"], epsilon: float
) -> Float[Array, "*shape d"]:
    return _normalise(x, scale, bias, epsilon)[0]


class _Residuals(NamedTuple):
    x: Float[Array, "*shape d"]
    mean: Float[Array, "*shape 1"]
    inverse: Float[Array, "*shape 1"]
    scale: Float[Array, " d"]


def _along_last(vector: Float[Array, " d"], x: Float[Array, "*shape d"]) -> Float[Array, "*ones d"]:
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


def _normalise(
    x: Float[Array, "*shape d"], scale: Float[Array, " d"], bias: Float[Array, " d"], epsilon: float
) -> tuple[Float[Array, "*shape d"], _Residuals]:
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    inverse = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)
    y = centred * (inverse * _along_last(scale, x)) + _along_last(bias, x)
    return y, _Residuals(x, mean, inverse, scale)


def _backward(
    epsilon: float, residuals: _Residuals, gradient: Float[Array, "*shape d"]
) -> tuple[Float[Array, "*shape d"], Float[Array, " d"], Float[Array, " d"]]:
    x, mean, inverse, scale = residuals
    normalised = (x - mean) * inverse
    scaled = gradient * _along_last(scale, x)
    along = (scaled * normalised).mean(axis=-1, keepdims=True)
    to_x = inverse * (scaled - scaled.mean(axis=-1, keepdims=True) - normalised * along)
    others = tuple(range(x.ndim - 1))
    return (
        jax.lax.optimization_barrier(to_x),
        (gradient * normalised).sum(axis=others),
        gradient.sum(axis=others),
    )


_with_gradient.defvjp(_normalise, _backward)


def to_unit_length(x: Float[AnyArray, "*shape d"]) -> Float[Array, "*shape d"]:
    """Vectors along the last axis, divided by their Euclidean length; a vector of zeros stays one.

    >>> to_unit_length(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    x = jnp.asarray(x)
    squares = (x * x).sum(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squares, jnp.finfo(x.dtype).tiny))
