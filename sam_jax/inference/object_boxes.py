"""Boxes of an image's objects, from a detector on the embedding that prompts are answered with."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from sam_jax.checkpoints import StoredDetector, load_detector, name_encoder
from sam_jax.inference.predictor import EmbeddedImage
from sam_jax.models import Detector, Model, RankedBoxes, pick_peaks, predict_boxes
from sam_jax.ops.nms import box_nms
from sam_jax.types import AnyArray, InputError

MOST_BOXES = 1000
"""Boxes of an image that are looked at."""


class ObjectBoxes(NamedTuple):
    """Boxes of an image's objects, the surest first.

    Attributes:
        boxes: Boxes x0, y0, x1, y1 in pixels of the image.
        scores: Scores of the detector, from 0 to 1.
    """

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]


def open_detector(path: str | os.PathLike, model: Model) -> Detector:
    """Read the detector of a model.

    Args:
        path: File of the detector.
        model: Model on whose embeddings the detector is to work.

    Raises:
        CheckpointError: The file is damaged, or holds no detector.
        InputError: The detector was trained on the embeddings of another image encoder.
    """
    stored: StoredDetector = load_detector(path)
    if stored.encoder != name_encoder(model.variables["params"]):
        raise InputError(
            f"{path} was trained on another image encoder or input size than this model's: train one with "
            "sam-jax engine detect"
        )
    return Detector(stored.config, jax.tree.map(jnp.asarray, stored.variables))


def find_objects(
    model: Model,
    detector: Detector,
    image: EmbeddedImage,
    *,
    least_score: float = 0.05,
    iou_threshold: float = 0.6,
) -> ObjectBoxes:
    """Find the boxes of an image's objects.

    Args:
        model: Model that embedded the image.
        detector: Detector on that model's embeddings.
        image: The embedded image.
        least_score: Score below which a box is dropped.
        iou_threshold: IoU with a surer box above which a box is dropped.

    Raises:
        InputError: The detector is for embeddings of another width.
    """
    framing = image.framing
    fitted = np.array([framing.fitted], np.int32)
    features = model.sam.features_of(image.features)
    ranked = jax.device_get(_rank(detector, features, fitted))
    boxes, scores = (np.asarray(part[0], np.float64) for part in ranked)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    is_sure = (scores >= max(least_score, np.finfo(np.float32).tiny)) & (sides > 0).all(axis=1)
    boxes, scores = boxes[is_sure], scores[is_sure]
    kept = box_nms(boxes, scores, iou_threshold)
    scale = np.array(framing.original[::-1]) / np.array(framing.fitted[::-1])
    return ObjectBoxes(boxes[kept] * np.tile(scale, 2), scores[kept])


@jax.jit
def _rank(
    detector: Detector, features: Float[AnyArray, "1 gh gw d"], fitted: Int[AnyArray, "1 2"]
) -> RankedBoxes:
    return pick_peaks(predict_boxes(detector, jnp.asarray(features)), fitted, MOST_BOXES)
