"""Non-maximum suppression of boxes."""

import numpy as np
from jaxtyping import Float, Int, Shaped


def box_nms(
    boxes: Shaped[np.ndarray, "n 4"], scores: Shaped[np.ndarray, " n"], iou_threshold: float
) -> Int[np.ndarray, " kept"]:
    """Indices of the boxes that no better box covers, the best first.

    A box goes if its IoU with a box that stays is above the threshold, as in torchvision's `nms`: areas are
    (x1 - x0)(y1 - y0), and of equal scores the first is the better.

    Args:
        boxes: x0, y0, x1, y1.
        scores: higher is better.
        iou_threshold: from 0 to 1.
    """
    corners = np.asarray(boxes, np.float32)
    order = np.argsort(-np.asarray(scores, np.float32), kind="stable")
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    kept: list[int] = []
    while order.size:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[~(_iou_with(best, order, corners, areas) > np.float32(iou_threshold))]
    return np.array(kept, np.int64)


def _iou_with(
    one: int,
    others: Int[np.ndarray, " k"],
    corners: Float[np.ndarray, "n 4"],
    areas: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " k"]:
    lower = np.maximum(corners[one, :2], corners[others, :2])
    upper = np.minimum(corners[one, 2:], corners[others, 2:])
    both = np.maximum(upper - lower, 0).prod(axis=1)
    with np.errstate(
        invalid="ignore"
    ):  # boxes of one pixel's width have no area: 0 / 0 covers nothing
        return both / (areas[one] + areas[others] - both)
