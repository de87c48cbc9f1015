"""Instance segmentation: a detector's boxes as prompts (SAM, section 7.4 and appendix D.4).

Every box gives one mask, which takes over the box's category and score; a second pass with box and mask together
refines the mask. What is measured is the AP of COCO or LVIS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from sam_jax.data.coco_file import CocoAnnotations
from sam_jax.evaluation.coco_truth import is_lvis
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.instances.average_precision import average_precisions
from sam_jax.evaluation.instances.detections import Detection
from sam_jax.evaluation.tables import Table
from sam_jax.evaluation.timing import METHOD_SECONDS, Stopwatch
from sam_jax.inference.prompts import PROMPT_SIZES
from sam_jax.ops.rle import Rle, encode_rle

BOXES_AT_ONCE = PROMPT_SIZES[-1]
"""Boxes of an image whose masks are in memory at full size together."""


@dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """How masks are made from boxes.

    Attributes:
        refine: Whether the logits of the first answer go in again together with the box, once.
    """

    refine: bool = True


class BoxMasks(NamedTuple):
    """A mask for each box.

    Attributes:
        rles: The masks in the boxes' order, with counts as COCO's strings.
        predicted_iou: IoU that the model predicts for each mask.
        seconds: Seconds spent in the model.
    """

    rles: list[Rle]
    predicted_iou: Float[np.ndarray, " n"]
    seconds: float


@runtime_checkable
class BoxPredictor(Protocol):
    """What answers boxes: `SamPredictor`, or anything else with these two of its methods."""

    def set_image(self, image: np.ndarray) -> None:
        """Take the photo that the boxes are of."""
        ...

    def predict_batch(
        self,
        *,
        boxes: Shaped[np.ndarray, "n 4"],
        mask_inputs: Shaped[np.ndarray, "n h_low w_low"] | None = None,
        multimask_output: bool = True,
    ) -> tuple[
        Bool[np.ndarray, "n m h w"] | Float[np.ndarray, "n m h w"],
        Float[np.ndarray, "n m"],
        Float[np.ndarray, "n m h_low w_low"],
    ]:
        """Masks, their predicted IoU, and low-resolution logits."""
        ...


def segment_boxes(
    predictor: BoxPredictor,
    image: UInt8[np.ndarray, "h w 3"],
    boxes_xyxy: Float[np.ndarray, "n 4"],
    config: InstanceConfig,
) -> BoxMasks:
    """Answer every box with one mask.

    Args:
        predictor: What answers the boxes.
        image: RGB photo.
        boxes_xyxy: Boxes x0, y0, x1, y1 in pixels.
        config: How masks are made from boxes.
    """
    rles: list[Rle] = []
    estimates = [np.zeros(0, np.float32)]
    watch = Stopwatch()
    if len(boxes_xyxy):
        with watch:
            predictor.set_image(image)
    for start in range(0, len(boxes_xyxy), BOXES_AT_ONCE):
        boxes = boxes_xyxy[start : start + BOXES_AT_ONCE]
        with watch:
            masks, iou, low = predictor.predict_batch(boxes=boxes, multimask_output=False)
            if config.refine:
                masks, iou, _ = predictor.predict_batch(
                    boxes=boxes, mask_inputs=low[:, 0], multimask_output=False
                )
        rles += [encode_rle(mask, compress=True) for mask in masks[:, 0].astype(bool)]
        estimates.append(iou[:, 0])
    return BoxMasks(rles, np.concatenate(estimates), watch.seconds)


def segment_detections(
    predictor: BoxPredictor,
    image: UInt8[np.ndarray, "h w 3"],
    image_id: int | float | str,
    detections: Sequence[Detection],
    config: InstanceConfig,
) -> ImageRecord:
    """Segment the boxes that a detector found in an image.

    Args:
        predictor: What answers the boxes.
        image: RGB photo.
        image_id: Id of the image in the file of truth.
        detections: Boxes of the image, possibly none.
        config: How masks are made from boxes.

    Returns:
        The record: `image_id`; `method_seconds` in the predictor; and `instances`, with category, box, score,
        predicted IoU and mask of each box.
    """
    corners = np.array([detection.box_xywh for detection in detections], np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    answer = segment_boxes(predictor, image, corners, config)
    instances = [
        {
            "category_id": detection.category,
            "bbox": list(detection.box_xywh),
            "score": detection.score,
            "predicted_iou": iou,
            "segmentation": rle,
        }
        for detection, rle, iou in zip(
            detections, answer.rles, answer.predicted_iou.tolist(), strict=True
        )
    ]
    return {"image_id": image_id, METHOD_SECONDS: answer.seconds, "instances": instances}


def list_results(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """Masks as COCO's results files list them, for COCO's and LVIS' own tools.

    Boxes are left out: with them, pycocotools takes the box's area for the mask's.

    Args:
        records: Records of `segment_detections`.
    """
    return [
        {
            "image_id": record["image_id"],
            **{key: instance[key] for key in ("category_id", "segmentation", "score")},
        }
        for record in records
        for instance in record["instances"]
    ]


def tabulate_precision(
    records: Sequence[ImageRecord], truth: CocoAnnotations, name: str = "SAM"
) -> Table:
    """A table of AP over the images that have a record, by LVIS' rules if the truth is LVIS'.

    Args:
        records: Records of `segment_detections`.
        truth: Truth of the data set.
        name: Name of the method, for its row.

    Raises:
        InputError: There are no records, or the truth doesn't have their images.
    """
    image_ids = [record["image_id"] for record in records]
    precisions = average_precisions(truth, list_results(records), image_ids)
    count = sum(len(record["instances"]) for record in records)
    kind = "LVIS" if is_lvis(truth) else "COCO"
    return Table(
        f"{kind} AP of masks from boxes: {len(records)} images, {count} boxes",
        ("method", *precisions),
        ((name, *precisions.values()),),
    )
