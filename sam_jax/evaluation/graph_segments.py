"""Felzenszwalb and Huttenlocher's graph-based segmentation, a method without learning to compare with.

"Efficient Graph-Based Image Segmentation", IJCV 59(2), 2004.
"""

import numpy as np
from jaxtyping import Integer, UInt8

FELZENSZWALB_SCALES = (100.0, 300.0, 1000.0)
"""Scales of the segmentation: the larger, the larger the segments."""


def felzenszwalb_segments(
    image: UInt8[np.ndarray, "h w 3"], scale: float
) -> Integer[np.ndarray, "h w"]:
    """Divide an image into segments, as a map of their numbers from 0.

    Args:
        image: RGB image.
        scale: Scale, such as one of `FELZENSZWALB_SCALES`.
    """
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(image, scale=scale, sigma=0.8, min_size=50)
