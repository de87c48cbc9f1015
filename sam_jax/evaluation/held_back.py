"""What a model has gained by fine-tuning: both versions on photos that took no part in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.example import Example, RecordError, Source
from sam_jax.data.images import write_image
from sam_jax.evaluation.points.segmenters import SamClickSegmenter
from sam_jax.evaluation.points.sessions import PointsConfig, click_objects
from sam_jax.inference import SamPredictor
from sam_jax.inference.overlay import draw_overlay
from sam_jax.messages import count
from sam_jax.models import Model
from sam_jax.ops.rle import Rle, decode_rle, decompress_counts
from sam_jax.storage import make_folder
from sam_jax.training.pictures import arrange_views

CLICKING = PointsConfig(clicks=3, noc_thresholds=(), masks_per_image=8)
MOST_PHOTOS = 10
"""Photos that are measured where nobody says how many: each is encoded twice, seconds with a large model."""
SHOWN = 4
"""Photos in the picture."""


class Gain(NamedTuple):
    """Mean IoU of the objects of held-back photos, before and after.

    Attributes:
        photos: Number of photos.
        objects: Number of objects.
        before: Mean IoU after 1, 2 and 3 clicks with the model before.
        after: The same with the model after.
    """

    photos: int
    objects: int
    before: list[float]
    after: list[float]

    def describe(self) -> str:
        """The means after the first click and after the last, in words."""
        return (
            f"{count(self.objects, 'object')} of {count(self.photos, 'photo')} that took no part in training: "
            f"mean IoU {self.before[0]:.3f} before and {self.after[0]:.3f} after, with one click; "
            f"{self.before[-1]:.3f} and {self.after[-1]:.3f} with three"
        )


def measure_gain(
    before: Model, after: Model, held_back: Source, picture: Path, *, most: int = MOST_PHOTOS
) -> Gain | None:
    """Click the objects of held-back photos with both models, and draw some of the masks after the first click.

    Args:
        before: Model that fine-tuning started from.
        after: Model that came out.
        held_back: Photos that took no part in training. Those that cannot be read are passed over.
        picture: File to write: a row for each photo, with the truth and the masks before and after.
        most: Number of photos that are measured at most, spread evenly.

    Returns:
        The mean IoU of both; None if no photo has an object.
    """
    if not len(held_back):
        return None
    segmenters = [SamClickSegmenter(SamPredictor(model)) for model in (before, after)]
    ious: list[list[list[float]]] = [[], []]
    rows: list[list[UInt8[np.ndarray, "_h _w 3"]]] = []
    photos = 0
    for index in np.unique(np.linspace(0, len(held_back) - 1, most).astype(int)).tolist():
        try:
            example = held_back[index]
            records = [
                click_objects(segmenter, example, index, CLICKING) for segmenter in segmenters
            ]
        except RecordError:
            continue
        if not records[0]["masks"]:
            continue
        photos += 1
        for of_model, record in zip(ious, records, strict=True):
            of_model += [_fill(masks["trusted"]) for masks in record["masks"]]
        if len(rows) < SHOWN:
            rows.append(_draw_row(example, records))
    if not rows:
        return None
    make_folder(picture.parent)
    write_image(picture, arrange_views(rows))
    means = [np.mean(of_model, axis=0).tolist() for of_model in ious]
    return Gain(photos, len(ious[0]), *means)


def _fill(ious: Sequence[float]) -> list[float]:
    """The IoU after each click; where nothing was left to click, that of the last one stays."""
    return [*ious, *[ious[-1]] * (CLICKING.clicks - len(ious))]


def _draw_row(example: Example, records: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    """The photo with the true masks, with the clicked ones before, and with those after."""
    size = list(example.image.shape[:2])
    truth = [example.masks[of_mask["mask"]] for of_mask in records[0]["masks"]]
    views = [truth]
    for record in records:
        counts = [of_mask["first_mask"] for of_mask in record["masks"]]
        runs = [decompress_counts(text) for text in counts]
        views.append([decode_rle(Rle(size=size, counts=lengths)) for lengths in runs])
    points = np.array([of_mask["points"][0][:2] for of_mask in records[0]["masks"]], np.float64)
    labels = np.ones(len(points), np.int64)
    return [
        draw_overlay(example.image, np.stack(masks), points=points, labels=labels)
        for masks in views
    ]
