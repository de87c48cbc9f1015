"""Brightness of colours."""

import numpy as np
from jaxtyping import Float, UInt8

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luma of ITU-R BT.601, which JPEG files and Pillow's grey images have too."""


def measure_luma(
    colours: UInt8[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "h w"]:
    """Luma of RGB pixels, in the unit of the colours: float64 for 8 bits, otherwise of the colours' own precision.

    >>> measure_luma(np.array([[[255, 0, 0], [10, 10, 10]]], np.uint8))
    array([[76.245, 10.   ]])
    """
    is_float = np.issubdtype(colours.dtype, np.floating)
    return colours @ np.array(LUMA, colours.dtype if is_float else np.float64)
