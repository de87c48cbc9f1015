"""Non-maximum suppression of boxes."""

import numpy as np
from jaxtyping import Float, Int, Shaped


def box_nms(
    boxes: Shaped[np.ndarray, "n 4"], scores: Shaped[np.ndarray, " n"], iou_threshold: float
) -> Int[np.ndarray, " kept"]:
    """Indices of the boxes that non-maximum suppression keeps, by falling score.

    A box is dropped if its IoU with a box of a higher score that is kept is above the threshold, as in torchvision's
    `nms`: areas are (x1 - x0)(y1 - y0), and of equal scores the first counts as the higher.

    Args:
        boxes: Corners x0, y0, x1, y1 of each box.
        scores: Score of each box; higher is better.
        iou_threshold: IoU above which a box is dropped, from 0 to 1.
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
    # Boxes of one pixel's width have no area; nothing is dropped for an IoU of 0 / 0.
    with np.errstate(invalid="ignore"):
        return both / (areas[one] + areas[others] - both)
