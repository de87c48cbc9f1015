"""The error of painted patches."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.types import AnyArray

PATCH_EPSILON = 1e-6
"""Added to a patch's variance before its root is taken."""


def normalise_patches(
    patches: Float[AnyArray, "*patches pixels"],
) -> Float[Array, "*patches pixels"]:
    """Each patch with mean 0 and variance 1, by the unbiased estimate of its variance.

    Source: [MAE](https://arxiv.org/abs/2111.06377), section 3, "Reconstruction target".

    Args:
        patches: Values of the pixels of each patch.

    >>> print(normalise_patches(jnp.array([1.0, 2.0, 3.0])).round(3))
    [-1.  0.  1.]
    """
    values = jnp.asarray(patches, jnp.float32)
    mean = values.mean(axis=-1, keepdims=True)
    variance = values.var(axis=-1, ddof=1, keepdims=True)
    return (values - mean) / jnp.sqrt(variance + PATCH_EPSILON)


def patch_squared_error(
    painted: Float[AnyArray, "*patches pixels"], patches: Float[AnyArray, "*patches pixels"]
) -> Float[Array, "*patches"]:
    """Mean over a patch's pixels of (painted - normalised)²; unreduced over patches.

    Source: [MAE](https://arxiv.org/abs/2111.06377), section 3, which averages it over the removed patches.

    Args:
        painted: Predicted patches, of normalised pixels.
        patches: True patches, which are normalised here.

    >>> patches = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    >>> print(patch_squared_error(jnp.array([[-1.0, 0.0, 2.0], [1.0, 1.0, 1.0]]), patches).round(3))
    [0.333 1.   ]
    """
    target = normalise_patches(patches)
    return jnp.mean((jnp.asarray(painted, jnp.float32) - target) ** 2, axis=-1)
