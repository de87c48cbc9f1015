"""The simulated annotator of the point experiment: where it clicks, and what comes back (SAM, 7.1 and appendix D.1)."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from sam_jax.types import PointLabel


class Clicks(NamedTuple):
    """The clicks on one object so far.

    Attributes:
        points: Coordinates x, y in pixels of the image, in the order of the clicks.
        labels: `PointLabel.FOREGROUND` or `PointLabel.BACKGROUND` of each click.
        memory: What the method asked to be told again of the mask that was picked last, such as its logits; None
            before the method's first answer.
    """

    points: Float[np.ndarray, "p 2"]
    labels: Int[np.ndarray, " p"]
    memory: Any = None

    def add(self, click: "Click", memory: Any) -> "Clicks":
        """These clicks and one more.

        Args:
            click: The new click.
            memory: What the method wants to be told again of the mask that was picked.
        """
        return Clicks(
            np.concatenate([self.points, [click.point]]),
            np.append(self.labels, click.label),
            memory,
        )


class Answer(NamedTuple):
    """Masks for the clicks on one object, of which the annotator picks one to go on with.

    Attributes:
        masks: Masks of the image's size.
        scores: How much the method trusts each mask; higher is surer.
        memories: What the method wants to be told again if the mask with the same index is picked.
    """

    masks: Bool[np.ndarray, "m h w"]
    scores: Float[np.ndarray, " m"]
    memories: tuple[Any, ...]


class Click(NamedTuple):
    """One click.

    Attributes:
        point: Coordinates x, y in pixels.
        label: Whether the click is on the object or on the background.
    """

    point: tuple[float, float]
    label: PointLabel


class _Deepest(NamedTuple):
    """The pixel x, y of a region that is farthest from its border, and the square of that distance."""

    point: tuple[float, float]
    squared: int


def find_centre(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "2"]:
    """The pixel x, y of a mask that is farthest from its border; the image's edge belongs to the border.

    The first one in reading order if there are several.

    Raises:
        ValueError: The mask is empty.
    """
    deepest = _find_deepest(mask, np.zeros((0, 2)))
    if deepest is None:
        raise ValueError("an empty mask has no centre")
    return np.array(deepest.point)


def draw_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """A random pixel x, y of a mask that is not empty, each with equal probability."""
    pixels = np.flatnonzero(mask)
    row, column = divmod(int(pixels[rng.integers(pixels.size)]), mask.shape[1])
    return np.array([column, row], np.float64)


def next_click(
    truth: Bool[np.ndarray, "h w"],
    predicted: Bool[np.ndarray, "h w"],
    clicked: Float[np.ndarray, "p 2"],
) -> Click | None:
    """The click that corrects a mask: at the point farthest inside the error region.

    False negatives and false positives are two regions; the one whose centre is farther from its border is clicked,
    with the label that corrects it. Pixels that were clicked before are left out, as in RITM (Sofiiuk et al., "Reviving
    Iterative Training with Mask Guidance for Interactive Segmentation", 2021, https://arxiv.org/abs/2102.06583), so
    that a method that ignores a click is not given it again and again.

    Args:
        truth: The true mask.
        predicted: The mask to be corrected.
        clicked: Coordinates x, y of all clicks so far.

    Returns:
        The click; None where nothing is left to click.
    """
    missed = _find_deepest(truth & ~predicted, clicked)
    spilled = _find_deepest(predicted & ~truth, clicked)
    if missed is not None and (spilled is None or missed.squared > spilled.squared):
        return Click(missed.point, PointLabel.FOREGROUND)
    return None if spilled is None else Click(spilled.point, PointLabel.BACKGROUND)


def _find_deepest(
    region: Bool[np.ndarray, "h w"], clicked: Float[np.ndarray, "p 2"]
) -> _Deepest | None:
    """The pixel of a region that is farthest from the border and was not clicked yet; None if there is none."""
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
