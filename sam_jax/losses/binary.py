"""Losses of every pixel of a mask: object against background.

In formulas, z is a pixel's logit, p = sigmoid(z) the probability that the pixel belongs to the object, and y the truth:
1 for the object, 0 for the background, or a value between.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.types import AnyArray


def bce(
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"] | Float[AnyArray, "*pixels"],
) -> Float[Array, "*pixels"]:
    """Binary cross-entropy of every pixel: -y log p - (1-y) log(1-p).

    Source: `torch.nn.functional.binary_cross_entropy_with_logits`.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].

    >>> logits = jnp.log(jnp.array([4.0, 0.25]))  # p = 0.8, 0.2
    >>> [f"{loss:.4f}" for loss in bce(logits, jnp.array([True, True]))]
    ['0.2231', '1.6094']
    """
    z, y = jnp.asarray(logits, jnp.float32), jnp.asarray(truth, jnp.float32)
    return y * jax.nn.softplus(-z) + (1 - y) * jax.nn.softplus(z)


def balanced_bce(
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"] | Float[AnyArray, "*pixels"],
) -> Float[Array, "*pixels"]:
    """Binary cross-entropy, each class weighted by the other's share: -β y log p - (1-β)(1-y) log(1-p), β = mean(1-y).

    A few pixels of the object thus count as much as all of the background. A truth of one class alone costs nothing:
    the share of the other class is 0.

    Source: [Xie and Tu 2015](https://arxiv.org/abs/1504.06375), Holistically-Nested Edge Detection, eq. 2.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].

    >>> truth = jnp.array([True, False, False, False])  # β = 3/4
    >>> [f"{loss:.4f}" for loss in balanced_bce(jnp.zeros(4), truth)]  # 3/4 log 2, 1/4 log 2
    ['0.5199', '0.1733', '0.1733', '0.1733']
    """
    y = jnp.asarray(truth, jnp.float32)
    background = (1 - y).mean()
    return (background * y + (1 - background) * (1 - y)) * bce(logits, y)


def sigmoid_focal(
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"] | Float[AnyArray, "*pixels"],
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
) -> Float[Array, "*pixels"]:
    """Focal loss of every pixel: -alpha_t (1-p_t)^gamma log p_t, cross-entropy that is smaller where p_t is high.

    p_t = p y + (1-p)(1-y) is the probability of the truth, alpha_t = alpha y + (1-alpha)(1-y) the weight of its class.

    Source: [Lin et al. 2017](https://arxiv.org/abs/1708.02002), Focal Loss for Dense Object Detection, eq. 5, as in
    torchvision's `sigmoid_focal_loss`.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].
        alpha: Weight of the object, in [0, 1]; None gives both classes the weight 1.
        gamma: Focusing parameter, at least 0; with 0 the loss is the weighted cross-entropy.

    >>> logits = jnp.log(jnp.array([4.0, 4.0]))  # p = 0.8
    >>> [f"{loss:.6f}" for loss in sigmoid_focal(logits, jnp.array([True, False]))]
    ['0.002231', '0.772530']
    """
    z, y = jnp.asarray(logits, jnp.float32), jnp.asarray(truth, jnp.float32)
    # 1 - p_t, as a sum of terms that don't cancel.
    miss = jax.nn.sigmoid(z) * (1 - y) + jax.nn.sigmoid(-z) * y
    loss = focus(miss, gamma) * bce(z, y)
    return loss if alpha is None else (alpha * y + (1 - alpha) * (1 - y)) * loss


def focus(miss: Float[Array, "*pixels"], gamma: float) -> Float[Array, "*pixels"]:
    """Weight (1-p_t)^gamma of a pixel in the focal loss, given `miss`, 1-p_t."""
    # For gamma < 1 the slope at 0 is infinite, and infinity times a loss of 0 is not a number.
    return jnp.maximum(miss, jnp.finfo(miss.dtype).tiny) ** gamma
