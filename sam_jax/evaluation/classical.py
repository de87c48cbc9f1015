"""Methods without learning that answer a click, to compare with. Each gives three masks and trusts the middle one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_jax.evaluation.one_click import Answer

TRUST = np.array([0.0, 1.0, 0.0])
FELZENSZWALB_SCALES = (100.0, 300.0, 1000.0)
DISC_RADII = (0.05, 0.1, 0.2)
"""Of the photo's diagonal."""

Image = UInt8[np.ndarray, "h w 3"]
Points = Float[np.ndarray, "n 2"]


def otsu(image: Image, points: Points) -> Iterator[Answer]:
    """The connected region of equal side of Otsu's threshold; three smoothings."""
    from skimage.color import rgb2gray
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import label

    grey = rgb2gray(image)
    regions = []
    for sigma in (0.0, 1.0, 3.0):
        smooth = gaussian(grey, sigma) if sigma else grey
        bright = smooth > threshold_otsu(smooth) if np.ptp(smooth) > 0 else smooth > 0
        regions.append(label(bright, background=-1, connectivity=1))
    for x, y in points.astype(int).tolist():
        yield _same_label(regions, x, y), TRUST


def felzenszwalb(image: Image, points: Points) -> Iterator[Answer]:
    """The segment of Felzenszwalb and Huttenlocher's graph-based segmentation at three scales."""
    from skimage.segmentation import felzenszwalb as segment

    maps = [segment(image, scale=scale, sigma=0.8, min_size=50) for scale in FELZENSZWALB_SCALES]
    for x, y in points.astype(int).tolist():
        yield _same_label(maps, x, y), TRUST


def disc(image: Image, points: Points) -> Iterator[Answer]:
    """A disc around the click, in three sizes: what knowing nothing is worth."""
    rows, columns = np.indices(image.shape[:2])
    diagonal = np.hypot(*image.shape[:2])
    for x, y in points:
        distance = np.hypot(columns - x, rows - y)
        yield np.stack([distance <= radius * diagonal for radius in DISC_RADII]), TRUST


def grab_cut(image: Image, points: Points) -> Iterator[Answer]:
    """GrabCut (Rother et al. 2004) from a disc around the click that may be object, in three sizes."""
    rows, columns = np.indices(image.shape[:2])
    diagonal = np.hypot(*image.shape[:2])
    for x, y in points:
        distance = np.hypot(columns - x, rows - y)
        masks = [_grab_cut_disc(image, distance, r * diagonal) for r in DISC_RADII]
        yield np.stack(masks), TRUST


def _grab_cut_disc(
    image: Image, distance: Float[np.ndarray, "h w"], radius: float
) -> Bool[np.ndarray, "h w"]:
    import cv2

    unused: Any = None
    trimap = np.full(distance.shape, cv2.GC_PR_BGD, np.uint8)
    trimap[distance <= radius] = cv2.GC_PR_FGD
    trimap[distance <= max(radius / 5, 1)] = cv2.GC_FGD
    trimap[distance > 4 * radius] = cv2.GC_BGD
    if not (trimap == cv2.GC_BGD).any():
        trimap[distance == distance.max()] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(image[..., ::-1]),
        trimap,
        unused,
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        2,
        cv2.GC_INIT_WITH_MASK,
    )
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _same_label(maps: list[np.ndarray], x: int, y: int) -> Bool[np.ndarray, "m h w"]:
    return np.stack([labels == labels[y, x] for labels in maps])


CLASSICAL = {
    "Otsu's threshold": otsu,
    "Felzenszwalb": felzenszwalb,
    "disc": disc,
    "GrabCut": grab_cut,
}
