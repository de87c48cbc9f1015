import json

import numpy as np
import pytest
from PIL import Image

from sam_jax import InputError
from sam_jax.data.coco import CocoJson
from sam_jax.data.example import RecordError
from sam_jax.evaluation.coco_truth import (
    ObjectTruth,
    encode_objects,
    has_frequencies,
    is_lvis,
    list_objects,
    read_truth,
)
from sam_jax.ops.rle import compress_counts, decode_rle

from .rectangles import BLANK, HEIGHT, OBJECTS, WIDTH, rectangle, write_truth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "the file has no category 1 .4 like it"),
        (lambda d: d.pop("annotations"), "is not in COCO's format"),
        (lambda d: [one.pop("width") for one in d["images"]], "each image needs `id`, `file_name`"),
        (lambda d: d.update(annotations=[]), "has nothing to measure against"),
    ],
)
def test_bad_files_of_truth(tmp_path, change, message):
    path = write_truth(tmp_path, OBJECTS).path
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_truth(path)


@pytest.mark.parametrize(
    ("number", "change", "reason"),
    [
        (0, lambda one: one.pop("image_id"), "no usable image None"),
        (1, lambda one: one.update(image_id=5), "no usable image 5"),
        (2, lambda one: one.update(category_id=5), "no category 5"),
        (2, lambda one: one.update(category_id=[1]), "no category [1]"),
        (3, lambda one: one.pop("segmentation"), "no `segmentation`"),
        (3, lambda one: one.update(segmentation=[[1, 2, float("nan"), 4, 5, 6]]), "not finite"),
    ],
)
def test_one_bad_object_is_left_out_alone(tmp_path, number, change, reason):
    path = write_truth(tmp_path, OBJECTS).path
    document = json.loads(path.read_text())
    change(document["annotations"][number])
    path.write_text(json.dumps(document))
    truth = read_truth(path)
    assert len(truth.annotations) == len(OBJECTS) - 1
    (said,) = truth.left_out
    assert reason in said


def test_a_mask_that_only_shows_its_damage_when_drawn(tmp_path):
    path = write_truth(tmp_path, OBJECTS).path
    document = json.loads(path.read_text())
    for counts in ([2**62] * 4, [5, 5], [float("nan"), 4], "0" * 99):
        document["annotations"][0]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": counts}
        path.write_text(json.dumps(document))
        with pytest.raises(RecordError, match="a mask"):
            encode_objects(read_truth(path), {document["annotations"][0]["image_id"]})


def write_lvis(folder):
    Image.fromarray(BLANK).save(folder / "photo.png")
    size = {"height": HEIGHT, "width": WIDTH, "file_name": "photo.png"}
    square = [[0, 0, 20, 0, 20, 30, 0, 30]]
    annotations = [
        {"image_id": image, "category_id": category, "iscrowd": crowd, "area": area}
        for image, category, crowd, area in [
            (9, 1, 0, 10.5),
            (7, 2, 0, 20),
            (9, 2, 1, 30),
            (9, 3, 0, 40),
        ]
    ]
    document = {
        "images": [{"id": 7, **size}, {"id": 8, **size}, {"id": 9, **size}],
        "annotations": [
            {**entry, "id": number, "segmentation": square}
            for number, entry in enumerate(annotations)
        ],
        "categories": [
            {"id": 1, "frequency": "f"},
            {"id": 2, "frequency": "c"},
            {"id": 3, "frequency": "r"},
        ],
    }
    path = folder / "lvis.json"
    path.write_text(json.dumps(document))
    return path


def test_areas_and_frequencies_follow_the_order_of_the_masks(tmp_path):
    path = write_lvis(tmp_path)
    truth, source = read_truth(path), CocoJson(path)
    objects = list_objects(truth)
    assert objects == [[ObjectTruth(20, "c")], [ObjectTruth(10.5, "f"), ObjectTruth(40, "r")]]
    assert [len(source[i].masks) for i in range(len(source))] == [len(some) for some in objects]
    assert has_frequencies(truth)
    assert not is_lvis(truth)


def test_coco_has_no_frequencies(tmp_path):
    path = write_lvis(tmp_path)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1}, {"id": 2}, {"id": 3}]
    del document["annotations"][0]["area"]
    path.write_text(json.dumps(document))
    truth = read_truth(path)
    assert not has_frequencies(truth)
    assert list_objects(truth)[1] == [ObjectTruth(None, None), ObjectTruth(40, None)]


def test_masks_of_some_images_in_any_form(tmp_path):
    truth = read_truth(write_lvis(tmp_path))
    mask = rectangle(3, 5, 7, 9)
    edges = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False, append=False))
    counts = np.diff(edges, prepend=0, append=mask.size).tolist()
    plain = {"size": [HEIGHT, WIDTH], "counts": counts}
    truth.annotations[3]["segmentation"] = plain
    masks = encode_objects(truth, {8, 9})
    assert masks[8] == []
    polygon, runs = masks[9]
    np.testing.assert_array_equal(decode_rle(polygon), rectangle(0, 0, 20, 30))
    assert runs == {"size": [HEIGHT, WIDTH], "counts": compress_counts(counts)}
