"""Methods without learning that answer clicks, to compare with.

They answer as Segment Anything does: the first click with three masks, at three scales, of which they trust the middle
one; later clicks with one mask, at the scale that was picked.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from sam_jax.evaluation.graph_segments import FELZENSZWALB_SCALES, felzenszwalb_segments
from sam_jax.evaluation.points.annotator import Answer, Clicks
from sam_jax.types import PointLabel

TRUST = (0.0, 1.0, 0.0)
"""Score of the mask at each of the three scales."""
SMOOTHINGS = (0.0, 1.0, 3.0)
"""Standard deviations in pixels of the Gaussians that smooth the image for Otsu's threshold."""
DISC_RADII = (0.05, 0.1, 0.2)
"""Radii of discs around clicks, as shares of the image's diagonal."""
GRAB_CUT_ROUNDS = 2
"""Iterations of GrabCut."""

Image = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]
Labels = Integer[np.ndarray, "h w"]


class _Distances(NamedTuple):
    """Squared distance in pixels from each pixel to the nearest click of either kind; infinite without such a click."""

    foreground: Float[np.ndarray, "h w"]
    background: Float[np.ndarray, "h w"]


class Otsu:
    """Connected regions of the image on one side of Otsu's threshold, in three smoothings of the image."""

    def set_image(self, image: Image) -> None:
        """Find all regions."""
        from skimage.color import rgb2gray
        from skimage.filters import gaussian, threshold_otsu
        from skimage.measure import label

        grey = rgb2gray(image)
        self._regions: list[Labels] = []
        for sigma in SMOOTHINGS:
            smooth = gaussian(grey, sigma) if sigma else grey
            bright = smooth > threshold_otsu(smooth) if np.ptp(smooth) > 0 else smooth > 0
            self._regions.append(np.asarray(label(bright, background=-1, connectivity=1)))

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """The regions that were clicked."""
        return [
            _answer(clicks, lambda scale, of: _pick(self._regions[scale], of)) for clicks in objects
        ]


class Felzenszwalb:
    """Segments of Felzenszwalb and Huttenlocher's graph-based segmentation at three scales."""

    def set_image(self, image: Image) -> None:
        """Find all segments."""
        self._segments = [felzenszwalb_segments(image, scale) for scale in FELZENSZWALB_SCALES]

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """The segments that were clicked."""
        return [
            _answer(clicks, lambda scale, of: _pick(self._segments[scale], of))
            for clicks in objects
        ]


class Disc:
    """Discs around the clicks, in three sizes: what can be had without looking at the image."""

    def set_image(self, image: Image) -> None:
        """Keep the size of the image."""
        self._size = image.shape[:2]

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Pixels within the radius of a foreground click and nearer to it than to any background click."""
        return [_answer(clicks, self._draw) for clicks in objects]

    def _draw(self, scale: int, clicks: Clicks) -> Mask:
        radius = DISC_RADII[scale] * np.hypot(*self._size)
        distances = _squared_distances(self._size, clicks)
        is_near = distances.foreground <= radius**2
        return is_near & (distances.foreground < distances.background)


class GrabCut:
    """GrabCut, started from discs of three sizes around the foreground clicks.

    Rother, Kolmogorov and Blake, "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts", SIGGRAPH 2004.
    """

    def set_image(self, image: Image) -> None:
        """Keep the image, with its channels in OpenCV's order."""
        self._image = np.ascontiguousarray(image[..., ::-1])

    def answer(self, objects: Sequence[Clicks]) -> list[Answer]:
        """Cuts by the colours of object and background; small discs around the clicks are fixed."""
        return [_answer(clicks, self._cut) for clicks in objects]

    def _cut(self, scale: int, clicks: Clicks) -> Mask:
        import cv2

        size = self._image.shape[:2]
        radius = DISC_RADII[scale] * np.hypot(*size)
        foreground, background = _squared_distances(size, clicks)
        sure = max(radius / 5, 1.0) ** 2
        trimap = np.full(size, cv2.GC_PR_BGD, np.uint8)
        trimap[foreground <= radius**2] = cv2.GC_PR_FGD
        trimap[foreground > (4 * radius) ** 2] = cv2.GC_BGD
        trimap[(background <= sure) & (background <= foreground)] = cv2.GC_BGD
        trimap[(foreground <= sure) & (foreground < background)] = cv2.GC_FGD
        if not (trimap == cv2.GC_BGD).any():
            trimap[foreground == foreground.max()] = cv2.GC_BGD
        unused: Any = None
        cv2.setRNGSeed(0)
        cv2.grabCut(
            self._image,
            trimap,
            unused,
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            GRAB_CUT_ROUNDS,
            cv2.GC_INIT_WITH_MASK,
        )
        return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


CLASSICAL_SEGMENTERS: dict[str, Callable[[], Otsu | Felzenszwalb | Disc | GrabCut]] = {
    "otsu": Otsu,
    "felzenszwalb": Felzenszwalb,
    "grabcut": GrabCut,
    "disc": Disc,
}
"""Constructors of the methods by name."""


def _answer(clicks: Clicks, draw: Callable[[int, Clicks], Mask]) -> Answer:
    """Masks at all scales, or after the first answer at the scale that was picked."""
    scales = range(len(TRUST)) if clicks.memory is None else (clicks.memory,)
    masks = np.stack([draw(scale, clicks) for scale in scales])
    return Answer(masks, np.array([TRUST[scale] for scale in scales]), tuple(scales))


def _pick(labels: Labels, clicks: Clicks) -> Mask:
    """All segments with a foreground click; one with a background click too is divided by the nearest click."""
    columns, rows = clicks.points.astype(int).T
    at_clicks = labels[rows, columns]
    is_foreground = clicks.labels == PointLabel.FOREGROUND
    wanted, unwanted = at_clicks[is_foreground], at_clicks[~is_foreground]
    mask = np.isin(labels, wanted)
    for label in np.intersect1d(wanted, unwanted).tolist():
        inside = at_clicks == label
        distances = _squared_distances(
            labels.shape, Clicks(clicks.points[inside], clicks.labels[inside])
        )
        mask &= (labels != label) | (distances.foreground < distances.background)
    return mask


def _squared_distances(size: tuple[int, ...], clicks: Clicks) -> _Distances:
    rows, columns = (np.arange(side, dtype=np.float64) for side in size)
    squared = []
    for label in (PointLabel.FOREGROUND, PointLabel.BACKGROUND):
        nearest = np.full(size, np.inf)
        for x, y in clicks.points[clicks.labels == label]:
            np.minimum(nearest, ((rows - y) ** 2)[:, None] + (columns - x) ** 2, out=nearest)
        squared.append(nearest)
    return _Distances(*squared)
