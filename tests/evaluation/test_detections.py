import json

import pytest
from PIL import Image

from sam_jax import InputError
from sam_jax.evaluation.coco_truth import read_truth
from sam_jax.evaluation.detections import Detection, read_detections, truth_detections

from .rectangles import BLANK, HEIGHT, OBJECTS, WIDTH, write_truth


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
    assert detections.skipped == 2
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "is not a file of truth in COCO's form: it needs"),
        (lambda d: d["annotations"][0].pop("image_id"), "is not a file of truth in COCO's form"),
        (lambda d: d["images"][0].pop("width"), "each image needs `file_name`, `height`"),
        (lambda d: d.update(annotations=[]), "has nothing to measure against"),
        (lambda d: d["annotations"][2].update(category_id=5), "annotation number 2 .of 1 like it"),
        (lambda d: d["annotations"][1].update(image_id=5), "annotation number 1 .of 1 like it"),
    ],
)
def test_bad_files_of_truth(tmp_path, change, message):
    path = write_truth(tmp_path, OBJECTS).path
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_truth(path)


def test_photos(tmp_path):
    truth = write_truth(tmp_path, OBJECTS)
    Image.fromarray(BLANK).save(tmp_path / "7.png")
    Image.fromarray(BLANK[:, :-10]).save(tmp_path / "8.png")
    assert truth.read_photo(0, tmp_path).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(InputError, match=r"8\.png is 150 wide and 120 high, but truth\.json says"):
        truth.read_photo(1, tmp_path)
    with pytest.raises(InputError, match=r"no photo 7\.png in"):
        truth.read_photo(0, tmp_path / "elsewhere")
