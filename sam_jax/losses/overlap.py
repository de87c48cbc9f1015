"""Losses of the overlap of a mask and its truth: one number for a mask.

In formulas, p is the probability of a pixel, g its truth, and Σ the sum over the pixels of the mask. ε keeps the loss
of an empty mask with an empty truth at 0. With an empty truth, the gradient with respect to a probability near 0 is
1/ε, so a small ε makes gradients explode.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from sam_jax.types import AnyArray


def soft_dice(
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"] | Float[AnyArray, "*pixels"],
    *,
    eps: float = 1.0,
    temperature: float = 1.0,
) -> Float[Array, ""]:
    """Dice loss: 1 - (2Σpg + ε) / (Σp + Σg + ε), p = sigmoid(logit / temperature).

    Its gradient with respect to one probability is [(2Σpg + ε) - 2g(Σp + Σg + ε)] / (Σp + Σg + ε)².

    Source: [Milletari et al. 2016](https://arxiv.org/abs/1606.04797), V-Net, section 3; with ε = 1 as in DETR and
    Mask2Former.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].
        eps: The constant ε, above 0.
        temperature: Divisor of the logits; a value above 1 keeps the sigmoid from saturating.

    >>> truth = jnp.arange(10) < 5
    >>> logits = jnp.where(jnp.arange(10) < 4, 50.0, -50.0)
    >>> print(f"{soft_dice(logits, truth, eps=1e-6):.4f}")  # 1 - 8/9
    0.1111
    """
    p = jax.nn.sigmoid(jnp.asarray(logits, jnp.float32) / temperature)
    g = jnp.asarray(truth, jnp.float32)
    return _dice_loss((p * g).sum(), p.sum() + g.sum(), eps)


def soft_iou(
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"] | Float[AnyArray, "*pixels"],
    *,
    eps: float = 1.0,
) -> Float[Array, ""]:
    """Jaccard loss: 1 - (Σpg + ε) / (Σp + Σg - Σpg + ε), p = sigmoid(logit).

    Source: [Rahman and Wang 2016](https://doi.org/10.1007/978-3-319-50835-1_22), Optimizing Intersection-Over-Union in
    Deep Neural Networks for Image Segmentation, with ε.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask, in [0, 1].
        eps: The constant ε, above 0.

    >>> truth = jnp.arange(12) < 9
    >>> logits = jnp.where((jnp.arange(12) >= 3) & (jnp.arange(12) < 10), 50.0, -50.0)
    >>> print(f"{soft_iou(logits, truth, eps=1e-6):.4f}")  # 1 - 6/10
    0.4000
    """
    p = jax.nn.sigmoid(jnp.asarray(logits, jnp.float32))
    g = jnp.asarray(truth, jnp.float32)
    both = (p * g).sum()
    return 1 - (both + eps) / (p.sum() + g.sum() - both + eps)


def macro_dice(
    logits: Float[AnyArray, "*pixels classes"],
    labels: Integer[AnyArray, "*pixels"],
    *,
    eps: float = 1.0,
) -> Float[Array, ""]:
    """The mean over classes of the dice loss of each class: small classes count as much as large ones.

    Source: [Milletari et al. 2016](https://arxiv.org/abs/1606.04797), V-Net, section 3, class by class, with the
    softmax over classes as p; as `optax.losses.dice_loss` with ε = 2 · smooth.

    Args:
        logits: Logits of every class.
        labels: The true class, from 0 to classes - 1.
        eps: The constant ε, above 0; a class that neither truth nor prediction has costs nothing.

    >>> labels, answer = jnp.array([0, 0, 0, 1]), jnp.array([0, 0, 1, 1])
    >>> logits = 99 * jax.nn.one_hot(answer, 2)
    >>> print(f"{macro_dice(logits, labels, eps=1e-6):.4f}")  # 1 - (4/5 + 2/3) / 2
    0.2667
    """
    both, sizes = _class_sums(logits, labels)
    return _dice_loss(both, sizes, eps).mean()


def micro_dice(
    logits: Float[AnyArray, "*pixels classes"],
    labels: Integer[AnyArray, "*pixels"],
    *,
    eps: float = 1.0,
) -> Float[Array, ""]:
    """Dice loss of the counts of all classes together: every pixel counts as much.

    It is 1 - (2ΣΣpg + ε) / (ΣΣp + ΣΣg + ε), with sums over pixels and classes, and p the softmax over classes.

    Source: [Sudre et al. 2017](https://arxiv.org/abs/1707.03237), Generalised Dice overlap, with all weights 1.

    Args:
        logits: Logits of every class.
        labels: The true class, from 0 to classes - 1.
        eps: The constant ε, above 0.

    >>> labels, answer = jnp.array([0, 0, 0, 1]), jnp.array([0, 0, 1, 1])
    >>> logits = 99 * jax.nn.one_hot(answer, 2)
    >>> print(f"{micro_dice(logits, labels, eps=1e-6):.4f}")  # 1 - 6/8
    0.2500
    """
    both, sizes = _class_sums(logits, labels)
    return _dice_loss(both.sum(), sizes.sum(), eps)


def _class_sums(
    logits: Float[AnyArray, "*pixels classes"], labels: Integer[AnyArray, "*pixels"]
) -> tuple[Float[Array, " classes"], Float[Array, " classes"]]:
    """The sums Σpg and Σp + Σg of every class."""
    classes = logits.shape[-1]
    p = jax.nn.softmax(jnp.asarray(logits, jnp.float32), axis=-1).reshape(-1, classes)
    g = jax.nn.one_hot(jnp.asarray(labels).reshape(-1), classes, dtype=jnp.float32)
    return (p * g).sum(0), p.sum(0) + g.sum(0)


def _dice_loss(
    both: Float[Array, "*classes"], sizes: Float[Array, "*classes"], eps: float
) -> Float[Array, "*classes"]:
    return 1 - (2 * both + eps) / (sizes + eps)
