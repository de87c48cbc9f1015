"""Boxes around masks."""

import numpy as np
from jaxtyping import Bool, Int


def mask_to_box_xyxy(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "4"]:
    """Find the smallest box x0, y0, x1, y1 that holds a mask: its first and last column and row, all inside the mask.

    Official SAM counts this way (`batched_mask_to_box`). An empty mask gives zeros.
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return np.zeros(4, np.int64)
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def mask_to_box_xywh(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "4"]:
    """Find the box of `mask_to_box_xyxy` as x0, y0, width and height, as SA-1B's files have it.

    Width and height are differences of indices, so one less than the number of pixels that they span.
    """
    box = mask_to_box_xyxy(mask)
    return np.concatenate([box[:2], box[2:] - box[:2]])
