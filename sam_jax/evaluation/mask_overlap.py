"""How much masks overlap."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sam_jax.ops.rle import Rle


def mask_iou(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union of two masks; 1 for two empty ones.

    >>> mask_iou(np.array([[True, True]]), np.array([[True, False]]))
    0.5
    """
    both, of_one, of_other = (np.count_nonzero(mask) for mask in (one & other, one, other))
    union = of_one + of_other - both
    return float(both / union) if union else 1.0


def rle_ious(ones: Sequence[Rle], others: Sequence[Rle]) -> Float[np.ndarray, "n k"]:
    """Intersection over union of every mask with every other one, without drawing them.

    Args:
        ones: Masks, with counts as COCO's strings.
        others: Masks likewise.
    """
    from pycocotools import mask as coco_mask

    if not ones or not others:
        return np.zeros((len(ones), len(others)))
    first: Any = list(ones)
    second: Any = list(others)
    return np.asarray(coco_mask.iou(first, second, [0] * len(others)))
