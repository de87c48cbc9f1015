"""Connected regions of masks."""

from typing import Literal

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
"""The structure that connects pixels which touch by a side or a corner."""


def remove_small_regions(
    mask: Bool[np.ndarray, "h w"], min_area: float | int, kind: Literal["holes", "islands"]
) -> tuple[Bool[np.ndarray, "h w"], bool]:
    """Fill small holes of a mask, or drop small islands.

    Pixels that touch by a corner are connected, in holes as in islands. If all islands are small, the largest stays.

    Args:
        mask: Mask to clean.
        min_area: Area in pixels below which a region is small.
        kind: Kind of the regions to remove.

    Returns:
        The cleaned mask, and whether there were small regions.
    """
    fills = kind == "holes"
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask != fills, structure=EIGHT_NEIGHBOURS, output=labels)
    areas = np.bincount(labels.ravel())
    areas[0] = np.iinfo(areas.dtype).max
    small = areas < min_area
    if not small.any():
        return mask, False
    if fills:
        return mask | small[labels], True
    if small[1:].all():
        small[1 + int(np.argmax(areas[1:]))] = False
    return mask & ~small[labels], True
