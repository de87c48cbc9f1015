"""SAM's training objective: 20 · focal + dice on the best of a prompt's masks, and the error of the predicted IoU.

It is computed for every prompt of every iteration, so it is written as one pass over the pixels and one for the
gradient, which is known in closed form and concerns one of the masks only. It equals what `binary.sigmoid_focal`,
`overlap.soft_dice` and `iou.iou_squared_error` compute.

Source: [SAM](https://arxiv.org/abs/2304.02643), section 3, "Losses and training", and appendix A.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sam_jax.losses.iou import ratio_of_areas
from sam_jax.ops.operands import as_operand
from sam_jax.types import AnyArray

FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0

ALPHA = 0.25
"""The weight of the object in the focal loss; gamma is 2."""

EPS = 1.0
"""The constant ε of the dice loss."""


class SamLosses(NamedTuple):
    """Losses of one prompt; `mask + iou_error` is what SAM minimises.

    Attributes:
        mask: 20 · focal + dice of the best mask, the one where this sum is lowest. No gradient reaches the others.
        focal: Focal loss of the best mask, the mean over pixels.
        dice: Dice loss of the best mask.
        iou_error: Squared error of the predicted IoU, the mean over all masks.
        best: Index of the best mask.
        real_iou: IoU of every mask, thresholded at 0, with the truth; without gradient.
    """

    mask: Float[Array, ""]
    focal: Float[Array, ""]
    dice: Float[Array, ""]
    iou_error: Float[Array, ""]
    best: Int[Array, ""]
    real_iou: Float[Array, " m"]


def sam_mask_loss(
    logits: Float[AnyArray, "m h w"],
    truth: Bool[AnyArray, "h w"],
    predicted_iou: Float[AnyArray, " m"],
    inside: Bool[AnyArray, "h w"] | None = None,
) -> SamLosses:
    """Losses of a prompt's masks: focal and dice of the best mask, and the error of the predicted IoU of all.

    Source: [SAM](https://arxiv.org/abs/2304.02643), section 3, "Losses and training", and appendix A.

    Args:
        logits: Logits of every mask that answers the prompt.
        truth: The true mask.
        predicted_iou: The IoU that the model predicts for each mask.
        inside: Whether a pixel belongs to the photo; padding takes no part in the losses. None for all pixels.

    >>> truth = jnp.array([[True, True, False], [False, False, False]])
    >>> sure = jnp.where(truth, 9.0, -9.0)
    >>> losses = sam_mask_loss(jnp.stack([-sure, sure]), truth, jnp.array([0.5, 0.9]))
    >>> int(losses.best), losses.real_iou.tolist()
    (1, [0.0, 1.0])
    >>> print(f"{losses.mask:.4f} {losses.iou_error:.4f}")  # (0.5² + 0.1²) / 2
    0.0001 0.1300
    """
    inside = jnp.ones(np.shape(truth), bool) if inside is None else inside
    operands = (as_operand(logits), as_operand(truth).astype(bool), as_operand(inside))
    focal, dice, best, real_iou = _lowest(*operands)
    error = jnp.asarray(predicted_iou, jnp.float32) - real_iou
    mask = FOCAL_WEIGHT * focal + DICE_WEIGHT * dice
    return SamLosses(mask, focal, dice, (error**2).mean(), best, real_iou)


class _Residuals(NamedTuple):
    """What the gradient needs: the arguments, the index of the best mask, and sums over its pixels.

    Attributes:
        overlap: The sum Σpg.
        sizes: The sum Σp + Σg.
    """

    logits: Float[Array, "m h w"]
    truth: Bool[Array, "h w"]
    inside: Bool[Array, "h w"]
    best: Int[Array, ""]
    overlap: Float[Array, ""]
    sizes: Float[Array, ""]


_Lowest = tuple[Float[Array, ""], Float[Array, ""], Int[Array, ""], Float[Array, " m"]]


@jax.custom_vjp
def _lowest(
    logits: Float[Array, "m h w"], truth: Bool[Array, "h w"], inside: Bool[Array, "h w"]
) -> _Lowest:
    """Focal and dice loss of the best mask, its index, and the real IoU of all masks."""
    return _lowest_forward(logits, truth, inside)[0]


def _lowest_forward(
    logits: Float[Array, "m h w"], truth: Bool[Array, "h w"], inside: Bool[Array, "h w"]
) -> tuple[_Lowest, _Residuals]:
    mask, miss, entropy = _compare(logits, truth[None])
    # Sums of selections: XLA then computes what is selected in one loop on a CPU, not in one for each operation.
    focal = _sum(_class_weight(truth)[None] * miss**2 * entropy, inside) / _pixels(inside)
    missed, spilled = _sum(miss, inside & truth), _sum(miss, inside & ~truth)
    truth_area = _count(inside & truth)
    overlap = truth_area - missed
    sizes = overlap + spilled + truth_area
    dice = 1 - (2 * overlap + EPS) / (sizes + EPS)
    both = _count(mask & (inside & truth)[None])
    real_iou = ratio_of_areas(both, _count(mask & inside[None]) + truth_area - both)
    best = jnp.argmin(FOCAL_WEIGHT * focal + DICE_WEIGHT * dice)
    residuals = _Residuals(logits, truth, inside, best, overlap[best], sizes[best])
    return (focal[best], dice[best], best, real_iou), residuals


def _lowest_backward(
    residuals: _Residuals, cotangents: tuple[AnyArray, AnyArray, Any, AnyArray]
) -> tuple[Float[Array, "m h w"], None, None]:
    logits, truth, inside, best, overlap, sizes = residuals
    to_focal, to_dice, *_ = cotangents
    _, miss, entropy = _compare(logits[best], truth)
    slope = miss * (1 - miss)
    focal = _class_weight(truth) * miss * (miss**2 + 2 * slope * entropy)
    focal = jnp.where(truth, -focal, focal) / _pixels(inside)
    of_truth = jnp.where(truth, 2 * (sizes + EPS), 0)
    dice = slope * (2 * overlap + EPS - of_truth) / (sizes + EPS) ** 2
    gradient = jnp.where(inside, to_focal * focal + to_dice * dice, 0).astype(logits.dtype)
    is_best = jnp.arange(len(logits)) == best
    return jnp.where(is_best[:, None, None], gradient[None], 0), None, None


_lowest.defvjp(_lowest_forward, _lowest_backward)


def _compare(
    logits: Float[Array, "*m h w"], truth: Bool[Array, "*#m h w"]
) -> tuple[Bool[Array, "*m h w"], Float[Array, "*m h w"], Float[Array, "*m h w"]]:
    """The mask, the probability 1 - p_t of the wrong class, and cross-entropy -log p_t, from one exponential."""
    z = logits.astype(jnp.float32)
    of_truth = jnp.where(truth, z, -z)
    smaller = jnp.exp(-jnp.abs(of_truth))
    share = 1 / (1 + smaller)
    miss = jnp.where(of_truth > 0, smaller * share, share)
    # Not log1p, which takes longer: what it would keep is lost anyway when it is multiplied by `miss`.
    return z > 0, miss, jnp.log(1 + smaller) - jnp.minimum(of_truth, 0)


def _pixels(inside: Bool[Array, "h w"]) -> Float[Array, ""]:
    """The divisor of a mean over pixels: their number, or 1 where there is none."""
    return jnp.maximum(_count(inside), 1)


def _class_weight(truth: Bool[Array, "h w"]) -> Float[Array, "h w"]:
    return jnp.where(truth, ALPHA, 1 - ALPHA)


def _sum(values: Float[Array, "m h w"], where: Bool[Array, "h w"]) -> Float[Array, " m"]:
    return jnp.where(where[None], values, 0).sum(axis=(-2, -1))


def _count(mask: Bool[Array, "*m h w"]) -> Float[Array, "*m"]:
    return jnp.where(mask, 1.0, 0.0).sum(axis=(-2, -1))
