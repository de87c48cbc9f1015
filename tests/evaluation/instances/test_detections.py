import json

import pytest

from sam_jax import InputError
from sam_jax.evaluation.instances.detections import Detection, read_detections, truth_detections

from ..rectangles import OBJECTS, write_truth


def test_a_results_file(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    path = tmp_path / "results.json"
    boxes = [[1, 2, 30.5, 40], [1, 2, 0, 40], [5, 5, 20, 10], [1, 2, 3, -1]]
    entries = [
        {"image_id": image, "category_id": 18, "bbox": box, "score": 0.5, "segmentation": {}}
        for image, box in zip((8, 8, 8, 7), boxes, strict=True)
    ]
    path.write_text(json.dumps(entries))
    detections = read_detections(path, truth)
    assert (detections.source, detections.skipped) == ("results", 2)
    assert detections.by_image == {
        8: [Detection(18, (1, 2, 30.5, 40), 0.5), Detection(18, (5, 5, 20, 10), 0.5)]
    }


GOOD = '{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot be read as JSON"),
        ("{}", "is no list: a results file is a list of detections with image_id, category_id"),
        ('{"images": [], "annotations": []}', "is a file of truth: a results file is a list"),
        ("[]", "has no detections"),
        (f"[{GOOD}, 3]", "entry number 1 is no detection with image_id"),
        (f'[{GOOD}, {{"image_id": 7, "score": 1}}]', "entry number 1 has no category_id, bbox;"),
        (GOOD.replace("7", "70").join("[]"), "is of another data set: none of its images is in"),
        (f"[{GOOD}, {GOOD.replace('7', '70')}]", "entry number 1 is of image 70, which .*truth"),
        (f"[{GOOD}, {GOOD.replace('7', '[7]')}]", r"entry number 1 is of image \[7\], which"),
        (f"[{GOOD.replace('1,', '0,', 1)}]", "is of category 0, which .* use its ids"),
        (f"[{GOOD.replace('0.5', 'NaN')}]", "entry number 0 has a bbox or score that is not fin"),
        (f"[{GOOD.replace('3', 'Infinity')}]", "entry number 0 has a bbox or score that is not"),
        (f"[{GOOD.replace('3, ', '')}]", "entry number 0 has no bbox of four numbers, or no sco"),
        (f"[{GOOD.replace('0.5', 'null')}]", "entry number 0 has no bbox of four numbers, or no"),
    ],
)
def test_bad_results_files(tmp_path, text, message):
    truth = write_truth(tmp_path, OBJECTS)
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_detections(path, truth)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_results_file(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    with pytest.raises(InputError, match=r"cannot read .*none\.json: No such file"):
        read_detections(tmp_path / "none.json", truth)


def test_boxes_of_the_truth_without_boxes(tmp_path):
    truth = write_truth(tmp_path, [*OBJECTS, (8, 1, (30, 40, 0, 5), 0)])
    assert truth_detections(truth).skipped == 1
    del truth.annotations[3]["bbox"]
    with pytest.raises(InputError, match="annotation number 3 has no `bbox`"):
        truth_detections(truth)
