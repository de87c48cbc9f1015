"""COCO files of other tools: ids in several types, names of other systems, entries of which one is bad."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.coco import CocoJson
from sam_jax.data.coco_file import Ids, photo_places, read_coco_json
from sam_jax.types import InputError

from .conftest import HEIGHT, WIDTH, paint_photo

TRIANGLE = [[5.0, 5.0, 30.5, 8.0, 12.0, 25.0]]


def image(id_=7, name="seven.jpg", **more):
    return {"id": id_, "file_name": name, "height": HEIGHT, "width": WIDTH} | more


def annotation(image_id=7, **more):
    return {"id": 1, "image_id": image_id, "category_id": 1, "segmentation": TRIANGLE} | more


@pytest.fixture
def write(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(paint_photo(7)).save(tmp_path / "images" / "seven.jpg")

    def write(images, annotations, categories=({"id": 1},)):
        path = tmp_path / "coco.json"
        document = {"images": images, "annotations": annotations, "categories": list(categories)}
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.mark.parametrize("own", [7, "7", 7.0, "seven", "007"])
@pytest.mark.parametrize("meant", [7, "7", 7.0, "7.0", "seven", "007"])
def test_ids_in_any_type(write, own, meant):
    path = write([image(own)], [annotation(meant)])
    if ("seven" in (own, meant)) and own != meant:
        with pytest.raises(InputError, match="has no objects: 1 entries are of no use"):
            CocoJson(path)
        return
    source = CocoJson(path)
    assert len(source[0].masks) == 1
    assert source[0].masks[0].any()
    (entry,) = read_coco_json(path).annotations
    assert entry["image_id"] == own  # the file's own, so that results go with it


@pytest.mark.parametrize("categories", [None, 5, {"id": 1}, [None, {"id": None}, {"name": "x"}]])
def test_categories_that_are_none(write, tmp_path, categories):
    path = write([image()], [annotation()])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"categories": categories}))
    assert len(CocoJson(path)[0].masks) == 1
    assert read_coco_json(path).categories == []


def test_an_id_as_it_stands_comes_first():
    ids = Ids([1, "1", "2", 3.0])
    assert [(type(found), found) for found in map(ids.find, [1, "1", 2, "3"])] == [
        (int, 1),
        (str, "1"),
        (str, "2"),
        (float, 3.0),
    ]
    assert [ids.find(meant) for meant in ([1], {}, None, float("nan"), "x")] == [None] * 5


def test_categories_in_any_type(write):
    path = write(
        [image()],
        [annotation(category_id="1"), annotation(category_id=2.0)],
        [{"id": 1}, {"id": "2"}],
    )
    assert [entry["category_id"] for entry in read_coco_json(path).annotations] == [1, "2"]


@pytest.mark.parametrize(
    "bad",
    [
        {"segmentation": None},
        {"image_id": 99},
        {"image_id": [7]},
        {"segmentation": [[float("nan"), 5, 30, 8, 12, 25]]},
        {"segmentation": {"counts": [1]}},
    ],
)
def test_one_bad_annotation_is_left_out_alone(write, bad):
    others = [annotation() | bad, {"image_id": 7}, "no object", annotation()]
    source = CocoJson(write([image()], others))
    assert len(source[0].masks) == 1
    assert len(source.list_left_out()) == 3
    assert all("annotation number" in reason for reason in source.list_left_out())


@pytest.mark.parametrize(
    "bad",
    [
        {"height": None},
        {"width": -3},
        {"height": float("nan")},
        {"id": None},
        {"file_name": None},
        {"file_name": 5},
        {"id": 7},
    ],
)
def test_one_bad_image_is_left_out_alone(write, bad):
    source = CocoJson(write([image(), image(8) | bad, "no object"], [annotation(), annotation(8)]))
    assert len(source) == 1
    reasons = source.list_left_out()
    assert sum("image number" in reason for reason in reasons) == 2


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"coco_url": None}, "seven.jpg"),
        ({"coco_url": 7}, "seven.jpg"),
        ({"file_name": None, "coco_url": "http://x/val/seven.jpg"}, "seven.jpg"),
        ({"file_name": "deep\\seven.jpg"}, "deep/seven.jpg"),
        ({"file_name": "C:\\photos\\seven.jpg"}, "seven.jpg"),
        ({"file_name": "/home/somebody/seven.jpg"}, "seven.jpg"),
        ({"file_name": ".\\seven.jpg"}, "seven.jpg"),
    ],
)
def test_names_of_photos_from_other_tools(write, tmp_path, names, found):
    path = write([image(**names)], [annotation()])
    (tmp_path / "images" / "deep").mkdir()
    (tmp_path / "images" / "seven.jpg").rename(tmp_path / "images" / found)
    example = CocoJson(path)[0]
    assert (tmp_path / "images" / found).samefile(example.name)
    assert example.image.shape == (HEIGHT, WIDTH, 3)


def test_names_that_no_file_can_have(write, tmp_path):
    images = [image(), image(8, "x" * 3000), image(9, "a\0b.jpg"), image(10, "\ud800.jpg")]
    source = CocoJson(write(images, [annotation(one["id"]) for one in images]))
    assert [reason.split(": ")[1][:9] for reason in source.list_left_out()] == ["no photo "] * 3


def test_numbers_and_flags_as_texts(write):
    crowd = annotation(iscrowd="1")
    path = write(
        [image(height=str(HEIGHT), width=float(WIDTH))],
        [annotation(iscrowd="0", area="many"), annotation(iscrowd=None), crowd],
    )
    assert len(CocoJson(path)[0].masks) == 2
    assert "area" not in read_coco_json(path).annotations[0]


def test_a_photo_without_objects_is_named(write):
    source = CocoJson(write([image(), image(8, "empty.jpg")], [annotation()]))
    assert [reason.rpartition(": ")[2] for reason in source.list_left_out()] == [
        "empty.jpg has no objects"
    ]
    assert np.count_nonzero(source[0].masks[0]) > 100


def test_places_are_in_order_and_once():
    assert photo_places({"file_name": "a.jpg", "coco_url": "http://x/a.jpg"}) == [
        "a.jpg",
        "x/a.jpg",
    ]
    assert photo_places({"file_name": "", "coco_url": None}) == []


def test_pipes_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match=r"pipe\.json is a pipe or a device, not a file"):
        read_coco_json(tmp_path / "pipe.json")
