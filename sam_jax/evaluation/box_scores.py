"""How well a detector's boxes fit the objects: AP and AR, by the measures of masks, with rectangles in their place."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.data.coco_file import CocoAnnotations
from sam_jax.data.example import Example, RecordError, RleMasks, Source, mask_runs
from sam_jax.data.pixel_runs import bound_runs
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.instances.average_precision import average_precisions
from sam_jax.evaluation.proposals.proposers import RankedMasks
from sam_jax.evaluation.proposals.recall import LIMITS, average_recall, count_found
from sam_jax.inference import SamPredictor
from sam_jax.inference.object_boxes import find_objects
from sam_jax.models import Detector, Model
from sam_jax.ops.rle import Rle, compress_counts


class BoxScores(NamedTuple):
    """What a detector finds.

    Attributes:
        photos: Number of photos.
        objects: Number of their objects.
        precision: AP by COCO's names: over IoU thresholds from 0.5 to 0.95, at 0.5 and 0.75, and by area; of the 100
            surest boxes of a photo, as COCO has it.
        recall: AR of the 10, 100 and 1000 surest boxes, by their number.
    """

    photos: int
    objects: int
    precision: dict[str, float | None]
    recall: dict[int, float | None]


def score_boxes(model: Model, detector: Detector, source: Source) -> BoxScores | None:
    """Find the boxes of photos, and compare them with those around the true masks.

    Args:
        model: Model whose embeddings the detector works on.
        detector: Detector.
        source: Photos with their masks; those that cannot be read are passed over.

    Returns:
        AP and AR; None if no photo has an object.
    """
    predictor = SamPredictor(model)
    images, truth, results = [], [], []
    records: list[ImageRecord] = []
    for index in range(len(source)):
        try:
            example = source[index]
        except RecordError:
            continue
        size = (example.image.shape[0], example.image.shape[1])
        known = list_true_boxes(example)
        predictor.set_image(example.image)
        embedded = predictor.embedding
        assert embedded is not None
        found = find_objects(model, detector, embedded)
        rectangles = [encode_rectangle(box, size) for box in found.boxes]
        is_seen = np.array([area > 0 for _, area in rectangles], bool)
        rles = [rle for rle, area in rectangles if area]
        scores = found.scores[is_seen]
        images.append({"id": index, "height": size[0], "width": size[1]})
        for box in known:
            rle, area = encode_rectangle(box, size)
            truth.append(
                {"image_id": index, "category_id": 1, "segmentation": rle, "area": float(area)}
                | {"iscrowd": 0, "id": len(truth) + 1}
            )
        results += [
            {"image_id": index, "category_id": 1, "score": float(score), "segmentation": rle}
            for rle, score in zip(rles, scores, strict=True)
        ]
        as_masks = RleMasks([encode_rectangle(box, size)[0] for box in known], size)
        records.append(count_found(RankedMasks(rles, scores), example._replace(masks=as_masks)))
    if not truth:
        return None
    categories: list[dict[str, Any]] = [{"id": 1, "name": "object"}]
    document = CocoAnnotations(Path(source.name), images, truth, categories)
    return BoxScores(
        len(images),
        len(truth),
        average_precisions(document, results, [image["id"] for image in images]),
        {limit: average_recall(records, limit) for limit in LIMITS},
    )


def list_true_boxes(example: Example) -> list[tuple[int, int, int, int]]:
    """Boxes x0, y0, x1, y1 around an example's masks, up to the outer edges of their pixels; without empty masks."""
    boxes = []
    for index in range(len(example.masks)):
        runs = mask_runs(example.masks, index)
        if runs.area:
            (top, bottom), (left, right) = bound_runs(runs)
            boxes.append((int(left), int(top), int(right), int(bottom)))
    return boxes


def encode_rectangle(box: Any, size: tuple[int, int]) -> tuple[Rle, int]:
    """The pixels of a photo that a box holds, as a mask, and their number.

    Args:
        box: Box x0, y0, x1, y1 in pixels.
        size: Height and width of the photo.
    """
    x0, y0, x1, y1 = (round(float(side)) for side in box)
    height, width = size
    (x0, x1), (y0, y1) = (
        (max(0, low), min(side, high)) for low, high, side in ((x0, x1, width), (y0, y1, height))
    )
    if x0 >= x1 or y0 >= y1:
        return Rle(size=list(size), counts=compress_counts([height * width])), 0
    tall, gap = y1 - y0, height - (y1 - y0)
    # Columns that meet are one run.
    columns = [*([tall, gap] * (x1 - x0 - 1)), tall] if gap else [tall * (x1 - x0)]
    counts = [x0 * height + y0, *columns]
    counts.append(height * width - sum(counts))
    if not counts[-1]:
        counts.pop()
    return Rle(size=list(size), counts=compress_counts(counts)), tall * (x1 - x0)
