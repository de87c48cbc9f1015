"""Losses of every pixel of a label map, in which each pixel has exactly one class.

In formulas, p is the softmax of a pixel's logits over the classes, and p_t the probability of the true class.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from sam_jax.losses.binary import focus
from sam_jax.types import AnyArray


def softmax_cross_entropy(
    logits: Float[AnyArray, "*pixels classes"], labels: Integer[AnyArray, "*pixels"]
) -> Float[Array, "*pixels"]:
    """Cross-entropy of every pixel: -log p_t.

    Source: `torch.nn.functional.cross_entropy` before its mean.

    Args:
        logits: Logits of every class.
        labels: The true class, from 0 to classes - 1.

    >>> logits = jnp.log(jnp.array([[0.8, 0.1, 0.1]]))
    >>> print(f"{softmax_cross_entropy(logits, jnp.array([0]))[0]:.4f}")
    0.2231
    """
    return -_log_probability(logits, labels)


def multiclass_focal(
    logits: Float[AnyArray, "*pixels classes"],
    labels: Integer[AnyArray, "*pixels"],
    *,
    gamma: float = 2.0,
) -> Float[Array, "*pixels"]:
    """Focal loss of every pixel: -(1-p_t)^gamma log p_t.

    Source: [Lin et al. 2017](https://arxiv.org/abs/1708.02002), Focal Loss for Dense Object Detection, eq. 4, with
    softmax in place of sigmoid.

    Args:
        logits: Logits of every class.
        labels: The true class, from 0 to classes - 1.
        gamma: Focusing parameter, at least 0; with 0 the loss is cross-entropy.

    >>> logits = jnp.log(jnp.array([[0.1, 0.7, 0.2]]))
    >>> print(f"{multiclass_focal(logits, jnp.array([0]))[0]:.4f}")  # 0.81 · 2.3026
    1.8651
    """
    log_p = _log_probability(logits, labels)
    return -focus(-jnp.expm1(log_p), gamma) * log_p


def _log_probability(
    logits: Float[AnyArray, "*pixels classes"], labels: Integer[AnyArray, "*pixels"]
) -> Float[Array, "*pixels"]:
    """The logarithm of the probability of the true class."""
    log_p = jax.nn.log_softmax(jnp.asarray(logits, jnp.float32), axis=-1)
    return jnp.take_along_axis(log_p, jnp.asarray(labels)[..., None], axis=-1)[..., 0]
