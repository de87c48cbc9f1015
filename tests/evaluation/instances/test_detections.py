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
    assert detections.source == "results"
    assert [reason.partition(": ")[2] for reason in detections.skipped] == [
        "entry number 1 has a bbox without width or height",
        "entry number 3 has a bbox without width or height",
    ]
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
    assert len(truth_detections(truth).skipped) == 1
    count = sum(map(len, truth_detections(truth).by_image.values()))
    del truth.annotations[0]["bbox"]
    detections = truth_detections(truth)
    assert len(detections.skipped) == 2
    assert sum(map(len, detections.by_image.values())) == count - 1
    without = truth._replace(annotations=[{**truth.annotations[0]}])
    with pytest.raises(InputError, match="no box can be used"):
        truth_detections(without)


@pytest.mark.parametrize("bad", ['"bbox": [1, 2, NaN, 4]', '"bbox": [1, 2, 3]', '"bbox": null'])
def test_one_bad_detection_is_left_out_alone(tmp_path, bad):
    truth = write_truth(tmp_path, OBJECTS)
    path = tmp_path / "results.json"
    spoilt = GOOD.replace('"bbox": [1, 2, 3, 4]', bad)
    path.write_text(f"[{GOOD}, {spoilt}]")
    detections = read_detections(path, truth)
    assert detections.by_image == {7: [Detection(1, (1, 2, 3, 4), 0.5)]}
    assert len(detections.skipped) == 1


@pytest.mark.parametrize("image", ["7", '"7"', "7.0"])
@pytest.mark.parametrize("category", ["1", '"1"', "1.0"])
def test_ids_that_differ_in_their_type(tmp_path, image, category):
    truth = write_truth(tmp_path, OBJECTS)
    path = tmp_path / "results.json"
    path.write_text(
        f'[{{"image_id": {image}, "category_id": {category}, "bbox": [1, 2, 3, 4], "score": 0.5}}]'
    )
    assert read_detections(path, truth).by_image == {7: [Detection(1, (1, 2, 3, 4), 0.5)]}
