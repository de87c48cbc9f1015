import json

import numpy as np
import pytest

from sam_jax import SamPredictor
from sam_jax.evaluation.instances.box_masks import (
    BOXES_AT_ONCE,
    InstanceConfig,
    list_results,
    segment_boxes,
    segment_detections,
    tabulate_precision,
)
from sam_jax.evaluation.instances.detections import Detection, truth_detections
from sam_jax.ops.rle import decode_rle

from ..rectangles import BLANK, HEIGHT, OBJECTS, WIDTH, rectangle, rle_of, write_truth

NAMES = ["AP", "AP50", "AP75", "small", "medium", "large"]


class PaintsBoxes:
    """Answers a box with its pixels, and its first logits with a number that comes back."""

    def __init__(self):
        self.images, self.calls = 0, []

    def set_image(self, image):
        self.images += 1
        self.size = image.shape[:2]

    def predict_batch(self, *, boxes, mask_inputs=None, multimask_output=True):
        assert not multimask_output
        self.calls.append((boxes, mask_inputs))
        masks = np.zeros((len(boxes), 1, *self.size), bool)
        for mask, (x0, y0, x1, y1) in zip(masks[:, 0], boxes.astype(int).tolist(), strict=True):
            # The second pass repairs what the first one gets wrong.
            mask[y0 : y1 if mask_inputs is not None else (y0 + y1) // 2, x0:x1] = True
        low = np.repeat(boxes[:, :1, None], 4, axis=2)[:, None].astype(np.float32)
        return masks, np.full((len(boxes), 1), 0.5, np.float32), low


def measure_all(truth, detections, config=None):
    predictor = PaintsBoxes()
    return [
        segment_detections(
            predictor,
            BLANK,
            image["id"],
            detections.by_image.get(image["id"], []),
            config or InstanceConfig(),
        )
        for image in truth.images
    ]


def test_boxes_of_the_truth_and_perfect_masks(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    detections = truth_detections(truth)
    assert detections.skipped == []
    assert detections.by_image[7] == [
        Detection(1, (10, 20, 30, 40), 1),
        Detection(18, (60, 10, 20, 20), 1),
    ]
    table = tabulate_precision(measure_all(truth, detections), truth)
    assert table.title == "COCO AP of masks from boxes: 2 images, 3 boxes"
    assert table.columns == ("method", *NAMES)
    ((name, *values),) = table.rows
    assert name == "SAM"
    assert values == pytest.approx([1] * 6, abs=1e-12)


def test_without_the_second_pass_half_of_each_mask_is_missing(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    records = measure_all(truth, truth_detections(truth), InstanceConfig(refine=False))
    values = dict(zip(NAMES, tabulate_precision(records, truth).rows[0][1:], strict=True))
    assert values["AP"] == pytest.approx(0.1)  # IoU 0.5 passes the first of ten thresholds
    assert values["AP50"] == 1
    assert values["AP75"] == 0


def test_the_first_answer_goes_into_the_second_pass():
    count = BOXES_AT_ONCE + 3
    corners = np.arange(count) % 50
    boxes = np.stack([corners, corners, corners + 20, corners + 10], axis=1).astype(np.float64)
    predictor = PaintsBoxes()
    answer = segment_boxes(predictor, BLANK, boxes, InstanceConfig())
    assert predictor.images == 1
    assert [(len(some), fed is not None) for some, fed in predictor.calls] == [
        (BOXES_AT_ONCE, False),
        (BOXES_AT_ONCE, True),
        (3, False),
        (3, True),
    ]
    for some, fed in predictor.calls[1::2]:
        np.testing.assert_array_equal(fed[:, 0, 0], some[:, 0])
    assert answer.predicted_iou.tolist() == [0.5] * count
    for rle, (x0, y0, x1, y1) in zip(answer.rles, boxes, strict=True):
        np.testing.assert_array_equal(decode_rle(rle), rectangle(x0, y0, x1 - x0, y1 - y0))


def test_an_image_without_boxes_is_not_even_encoded():
    predictor = PaintsBoxes()
    record = segment_detections(predictor, BLANK, 7, [], InstanceConfig())
    assert record == {"image_id": 7, "method_seconds": 0.0, "instances": []}
    assert predictor.images == 0


def test_records_become_a_results_file():
    detections = [Detection(18, (3, 4, 10, 20), 0.75)]
    record = segment_detections(PaintsBoxes(), BLANK, 8, detections, InstanceConfig())
    assert json.loads(json.dumps(record)) == record
    (instance,) = record["instances"]
    assert instance["bbox"] == [3, 4, 10, 20]
    assert instance["predicted_iou"] == 0.5
    rle = rle_of((3, 4, 10, 20))
    assert list_results([record]) == [
        {"image_id": 8, "category_id": 18, "segmentation": rle, "score": 0.75}
    ]


def test_order_of_images_makes_no_difference(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    records = measure_all(truth, truth_detections(truth), InstanceConfig(refine=False))
    assert tabulate_precision(records, truth) == tabulate_precision(records[::-1], truth)


@pytest.mark.slow
def test_segment_anything_answers_boxes(miniature):
    predictor = SamPredictor(miniature)
    boxes = np.array([[10.0, 20, 60, 80], [30, 5, 90, 50]])
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    answer = segment_boxes(predictor, image, boxes, InstanceConfig())
    _, _, low = predictor.predict_batch(boxes=boxes, multimask_output=False)
    masks, iou, _ = predictor.predict_batch(
        boxes=boxes, mask_inputs=low[:, 0], multimask_output=False
    )
    assert all(0 < mask.mean() < 1 for mask in masks)
    np.testing.assert_array_equal([decode_rle(rle) for rle in answer.rles], masks[:, 0])
    np.testing.assert_array_equal(answer.predicted_iou, iou[:, 0])
