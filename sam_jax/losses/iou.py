"""The IoU of a mask with its truth, and the error of the IoU that the model predicts."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.types import AnyArray


def hard_iou(
    logits: Float[AnyArray, "*pixels"], truth: Bool[AnyArray, "*pixels"]
) -> Float[Array, ""]:
    """Intersection over union, in [0, 1], of the mask where logits are above 0 and its truth; 1 where both are empty.

    A metric, not a loss: it has no gradient.

    Args:
        logits: Logits of one mask.
        truth: Truth of the same mask.

    >>> logits = jnp.array([3.0, 1.0, 0.0, -2.0])
    >>> print(f"{hard_iou(logits, jnp.array([True, False, True, False])):.4f}")  # 1/3
    0.3333
    """
    mask = jnp.asarray(logits) > 0
    both = jnp.sum(mask & truth, dtype=jnp.float32)
    either = jnp.sum(mask | truth, dtype=jnp.float32)
    return ratio_of_areas(both, either)


def ratio_of_areas(both: Float[Array, "*m"], either: Float[Array, "*m"]) -> Float[Array, "*m"]:
    """IoU from the areas of an intersection and a union, in pixels; 1 where the union is empty."""
    return jnp.where(either > 0, both / jnp.maximum(either, 1), 1)


def iou_squared_error(
    predicted_iou: Float[AnyArray, ""],
    logits: Float[AnyArray, "*pixels"],
    truth: Bool[AnyArray, "*pixels"],
) -> Float[Array, ""]:
    """Squared error of the IoU that the model predicts for its own mask: (predicted - real)².

    The real IoU is that of the thresholded mask and has no gradient: the mask is not made worse to fit a prediction.

    Source: [SAM](https://arxiv.org/abs/2304.02643), appendix A, "Losses".

    Args:
        predicted_iou: The IoU that the model predicts.
        logits: Logits of the mask.
        truth: Truth of the mask.

    >>> logits = jnp.array([3.0, 1.0, -1.0, -2.0])  # IoU 1/2
    >>> truth = jnp.array([True, False, False, False])
    >>> print(f"{iou_squared_error(jnp.array(0.8), logits, truth):.4f}")
    0.0900
    """
    return (jnp.asarray(predicted_iou, jnp.float32) - hard_iou(logits, truth)) ** 2
