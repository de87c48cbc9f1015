"""Instance segmentation: a detector's boxes as prompts (SAM, section 7.4 and appendix D.4).

Every box gives one mask, which takes over the box's category and score; a second pass with box and mask together
refines it. Measured is the AP of COCO or LVIS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from sam_jax.evaluation.coco_metrics import average_precisions
from sam_jax.evaluation.coco_truth import CocoTruth
from sam_jax.evaluation.detections import Detection
from sam_jax.evaluation.results import Table
from sam_jax.evaluation.runs import Record
from sam_jax.inference.prompts import PROMPT_SIZES
from sam_jax.ops.rle import Rle, encode_rle
from sam_jax.storage import write_json
from sam_jax.types import InputError

BOXES_AT_ONCE = PROMPT_SIZES[-1]
"""Masks of so many boxes are held at full size."""


@dataclass(frozen=True, kw_only=True)
class InstanceConfig:
    """How masks are made from boxes.

    Attributes:
        refine: feed the first answer's logits back together with the box, once.
    """

    refine: bool = True


class BoxMasks(NamedTuple):
    """A mask for each box.

    Attributes:
        rles: the masks, in the boxes' order, as COCO's strings.
        predicted_iou: the model's own estimate.
    """

    rles: list[Rle]
    predicted_iou: Float[np.ndarray, " n"]


@runtime_checkable
class BoxPredictor(Protocol):
    """What answers boxes: `SamPredictor`, or another model with these two of its methods."""

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
        """Masks, estimates of their IoU, low-resolution logits."""
        ...


def segment_boxes(
    predictor: BoxPredictor,
    image: UInt8[np.ndarray, "h w 3"],
    boxes_xyxy: Float[np.ndarray, "n 4"],
    config: InstanceConfig,
) -> BoxMasks:
    """Answer every box with one mask."""
    rles: list[Rle] = []
    estimates = [np.zeros(0, np.float32)]
    if len(boxes_xyxy):
        predictor.set_image(image)
    for start in range(0, len(boxes_xyxy), BOXES_AT_ONCE):
        boxes = boxes_xyxy[start : start + BOXES_AT_ONCE]
        masks, iou, low = predictor.predict_batch(boxes=boxes, multimask_output=False)
        if config.refine:
            masks, iou, _ = predictor.predict_batch(
                boxes=boxes, mask_inputs=low[:, 0], multimask_output=False
            )
        rles += [encode_rle(mask, compress=True) for mask in masks[:, 0].astype(bool)]
        estimates.append(iou[:, 0])
    return BoxMasks(rles, np.concatenate(estimates))


def measure_image(
    predictor: BoxPredictor,
    image: UInt8[np.ndarray, "h w 3"],
    image_id: int,
    detections: Sequence[Detection],
    config: InstanceConfig,
) -> Record:
    """Segment the boxes of an image.

    Args:
        predictor: to measure.
        image: the photo.
        image_id: its id in the file of truth.
        detections: its boxes; none is fine.
        config: of the protocol.

    Returns:
        Image id and instances with their masks; that is all the AP needs.
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
    return {"image_id": image_id, "instances": instances}


def list_results(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Masks as COCO's results files list them.

    Without the boxes: with them pycocotools takes the box's area for the mask's.
    """
    return [
        {
            "image_id": record["image_id"],
            **{key: instance[key] for key in ("category_id", "segmentation", "score")},
        }
        for record in records
        for instance in record["instances"]
    ]


def write_results(records: Sequence[Record], path: Path) -> None:
    """Write the masks as a results file in COCO's form, which COCO's and LVIS' own tools read.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        write_json(path, list_results(records))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def summarise(records: Sequence[Record], truth: CocoTruth, name: str = "SAM") -> Table:
    """AP over the images that have a record, LVIS' if the truth is of its form.

    Args:
        records: of `measure_image`.
        truth: that the images are of.
        name: of the method, for its row.

    Raises:
        InputError: there are no records, or the truth doesn't have their images.
    """
    image_ids = [record["image_id"] for record in records]
    precisions = average_precisions(truth, list_results(records), image_ids)
    count = sum(len(record["instances"]) for record in records)
    kind = "LVIS" if truth.is_lvis else "COCO"
    return Table(
        f"{kind} AP of masks from boxes: {len(records)} images, {count} boxes",
        ("method", *precisions),
        ((name, *precisions.values()),),
    )
