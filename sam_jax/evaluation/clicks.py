"""Clicks of someone who knows the truth, and what comes back for them (SAM, section 7.1 and appendix D.1)."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from sam_jax.types import PointLabel


class Clicks(NamedTuple):
    """What was clicked for one object so far.

    Attributes:
        points: x, y in pixels of the image, in order.
        labels: `PointLabel.FOREGROUND` or `PointLabel.BACKGROUND`.
        memory: what the method kept of the mask that it is to go on from; None before its first answer.
    """

    points: Float[np.ndarray, "p 2"]
    labels: Int[np.ndarray, " p"]
    memory: Any = None

    def add(self, click: "Click", memory: Any) -> "Clicks":
        """The same with one click more."""
        return Clicks(
            np.concatenate([self.points, [click.point]]),
            np.append(self.labels, click.label),
            memory,
        )


class Answer(NamedTuple):
    """Masks for the clicks on one object, of which someone picks one to go on with.

    Attributes:
        masks: of the image's size.
        scores: how much the method trusts each.
        memories: what it wants to be told again if the mask of the same index is picked.
    """

    masks: Bool[np.ndarray, "m h w"]
    scores: Float[np.ndarray, " m"]
    memories: tuple[Any, ...]


class Click(NamedTuple):
    """One click.

    Attributes:
        point: x, y in pixels.
        label: what it means.
    """

    point: tuple[float, float]
    label: PointLabel


class _Deepest(NamedTuple):
    """The pixel of a region that is farthest from its border, and the square of how far."""

    point: tuple[float, float]
    squared: int


def find_centre(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "2"]:
    """The pixel x, y of a mask that is farthest from its border, which the image's edge belongs to.

    The first in reading order if there are several; the mask must not be empty.
    """
    deepest = _find_deepest(mask, np.zeros((0, 2)))
    if deepest is None:
        raise ValueError("an empty mask has no centre")
    return np.array(deepest.point)


def draw_point(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """A pixel x, y of a mask, all with equal chance; the mask must not be empty."""
    pixels = np.flatnonzero(mask)
    row, column = divmod(int(pixels[rng.integers(pixels.size)]), mask.shape[1])
    return np.array([column, row], np.float64)


def next_click(
    truth: Bool[np.ndarray, "h w"],
    predicted: Bool[np.ndarray, "h w"],
    clicked: Float[np.ndarray, "p 2"],
) -> Click | None:
    """The click that corrects a mask best: at the point farthest inside the error region.

    What was missed and what was spilled are two regions; the deeper one is clicked, with the label that corrects it.
    Pixels that were clicked before are left out, as in RITM, so that a method that ignores a click is not given it
    again and again.

    Args:
        truth: as the mask should be.
        predicted: as it is.
        clicked: x, y of all clicks so far.

    Returns:
        None where nothing is left to click.
    """
    missed = _find_deepest(truth & ~predicted, clicked)
    spilled = _find_deepest(predicted & ~truth, clicked)
    if missed is not None and (spilled is None or missed.squared > spilled.squared):
        return Click(missed.point, PointLabel.FOREGROUND)
    return None if spilled is None else Click(spilled.point, PointLabel.BACKGROUND)


def mask_iou(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; 1 for two empty masks."""
    both, of_one, of_other = (np.count_nonzero(mask) for mask in (one & other, one, other))
    union = of_one + of_other - both
    return float(both / union) if union else 1.0


def _find_deepest(
    region: Bool[np.ndarray, "h w"], clicked: Float[np.ndarray, "p 2"]
) -> _Deepest | None:
    """What of a region that was not clicked yet is farthest from its border; None if nothing is left."""
    import cv2

    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if rows.size == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    box = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
    # Nothing of the region lies beyond its box, so a frame one pixel wide is border enough.
    framed = np.pad(region[box].view(np.uint8), 1)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    height, width = distance.shape
    for column, row in clicked.astype(int) - (left, top):
        if 0 <= row < height and 0 <= column < width:
            distance[row, column] = 0
    squared = round(float(distance.max()) ** 2)
    if squared == 0:
        return None
    # Roots of equal squares can differ in the last bit, which would decide among equals.
    row, column = divmod(int(np.argmax(distance >= math.sqrt(squared - 0.5))), width)
    return _Deepest((float(column + left), float(row + top)), squared)
