"""One click at a mask's centre: how good is the mask that comes back (SAM, section 7.1).

A method answers a click with one mask or several, and says which it trusts most. Measured are the IoU of that one and
of the best.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt

from sam_jax.data.example import Example, Source
from sam_jax.inference import SamPredictor

Answer = tuple[Bool[np.ndarray, "m h w"], Float[np.ndarray, " m"]]
"""Masks for a click, and how much the method trusts each."""

Method = Callable[[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "n 2"]], Iterator[Answer]]
"""From a photo and clicks x, y to an answer for each."""


class Click(NamedTuple):
    """What one method made of one click.

    Attributes:
        record: index of the photo in its data set.
        name: of the photo.
        mask: index of the object.
        point: x, y in pixels.
        trusted_iou: IoU of truth and the mask that the method trusts most.
        best_iou: of truth and the best of its masks.
    """

    record: int
    name: str
    mask: int
    point: tuple[float, float]
    trusted_iou: float
    best_iou: float


def find_centre(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "2"]:
    """The pixel x, y of a mask that is farthest from its border, which the photo's edge belongs to.

    The first in reading order if there are several; the mask must not be empty.
    """
    distance = np.asarray(distance_transform_edt(np.pad(mask, 1)))
    row, column = np.unravel_index(np.argmax(distance[1:-1, 1:-1]), mask.shape)
    return np.array([column, row], np.float64)


def mask_iou(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


def choose_masks(
    example: Example, record: int, most: int, min_area: int, seed: int
) -> list[tuple[int, Bool[np.ndarray, "h w"]]]:
    """Up to `most` masks of at least `min_area` pixels, drawn by seed and record, in order of their index."""
    order = np.random.default_rng([seed, record]).permutation(len(example.masks))
    chosen: list[tuple[int, Bool[np.ndarray, "h w"]]] = []
    for index in order.tolist():
        if len(chosen) == most:
            break
        mask = example.masks[index]
        if np.count_nonzero(mask) >= min_area:
            chosen.append((index, mask))
    return sorted(chosen, key=lambda item: item[0])


def measure_clicks(
    method: Method,
    source: Source,
    records: Sequence[int],
    *,
    masks_per_image: int,
    min_area: int,
    seed: int = 0,
) -> Iterator[Click]:
    """Click once at the centre of every chosen mask of the records.

    Args:
        method: to measure.
        source: photos with truth.
        records: indices of photos.
        masks_per_image: most that are drawn of a photo; all methods are asked for the same.
        min_area: smallest mask in pixels.
        seed: of the draw.
    """
    for record in records:
        example = source[record]
        masks = choose_masks(example, record, masks_per_image, min_area, seed)
        if not masks:
            continue
        points = np.stack([find_centre(mask) for _, mask in masks])
        answers = method(example.image, points)
        for (index, truth), point, (answer, trust) in zip(masks, points, answers, strict=True):
            ious = [mask_iou(mask, truth) for mask in answer]
            trusted = ious[int(np.argmax(trust))]
            x, y = point.tolist()
            yield Click(record, example.name, index, (x, y), trusted, max(ious))


def sam_method(predictor: SamPredictor) -> Method:
    """Segment Anything as a method: three masks, trusted by predicted IoU."""

    def answer(
        image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "n 2"]
    ) -> Iterator[Answer]:
        predictor.set_image(image)
        for start in range(0, len(points), 16):
            some = points[start : start + 16, None]
            labels = np.ones(some.shape[:2], np.int32)
            masks, iou, _ = predictor.predict_batch(point_coords=some, point_labels=labels)
            yield from zip(masks, iou, strict=True)

    return answer
