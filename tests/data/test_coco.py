import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sam_jax.data.coco import CocoJson
from sam_jax.data.example import RecordError
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError

from .conftest import HEIGHT, WIDTH, paint_masks, paint_photo

MASK = paint_masks(0, 1)[0]
TRIANGLE = [5.0, 5.0, 30.5, 8.0, 12.0, 25.0]
SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]


def annotation(segmentation, image_id=7, **more):
    return {
        "id": 1,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "segmentation": segmentation,
    } | more


def write(folder, annotations, images=None):
    photos = folder / "images"
    photos.mkdir(exist_ok=True)
    Image.fromarray(paint_photo(7)).save(photos / "seven.jpg")
    images = images or [
        {"id": 7, "file_name": "seven.jpg", "height": HEIGHT, "width": WIDTH},
        {"id": 8, "file_name": "eight.jpg", "height": HEIGHT, "width": WIDTH},
    ]
    path = folder / "instances.json"
    for number, entry in enumerate(annotations):
        entry["id"] = number
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_and_runs_as_pycocotools_draws_them(tmp_path, capsys):
    path = write(
        tmp_path,
        [
            annotation([TRIANGLE]),
            annotation([TRIANGLE, SQUARE]),
            annotation(encode_rle(MASK)),
            annotation(encode_rle(MASK, compress=True)),
            annotation(encode_rle(~MASK), iscrowd=1),
        ],
    )
    source = CocoJson(path)
    assert len(source) == 1
    example = source[0]
    assert example.name == str(tmp_path / "images" / "seven.jpg")
    assert len(example.masks) == 4
    theirs = COCO(path)
    capsys.readouterr()
    for i in range(4):
        np.testing.assert_array_equal(example.masks[i], theirs.annToMask(theirs.anns[i]))
    np.testing.assert_array_equal(example.masks[2], MASK)


def test_polygons_of_too_few_corners_enclose_nothing(tmp_path):
    example = CocoJson(write(tmp_path, [annotation([[1, 2, 3, 4]]), annotation([])]))[0]
    assert not example.masks[0].any()
    assert not example.masks[1].any()


def test_lvis_gives_addresses_instead_of_names(tmp_path):
    images = [
        {
            "id": 7,
            "height": HEIGHT,
            "width": WIDTH,
            "coco_url": "http://images.cocodataset.org/train2017/seven.jpg",
        }
    ]
    path = write(tmp_path, [annotation([TRIANGLE])], images)
    assert CocoJson(path)[0].image.shape == (HEIGHT, WIDTH, 3)
    (tmp_path / "images").rename(tmp_path / "train2017")
    assert CocoJson(path)[0].name == str(tmp_path / "train2017" / "seven.jpg")


def test_photos_in_the_folder_of_the_split(tmp_path):
    path = write(tmp_path, [annotation([TRIANGLE])])
    (tmp_path / "images").rename(tmp_path / "val2017")
    (tmp_path / "annotations").mkdir()
    path = path.rename(tmp_path / "annotations" / "instances_val2017.json")
    assert len(CocoJson(path)[0].masks) == 1
    assert CocoJson(path, tmp_path / "val2017")[0].image.shape == (HEIGHT, WIDTH, 3)
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"none of the photos .* looked for seven\.jpg"):
        CocoJson(path)


def test_travels_to_worker_processes_by_name(tmp_path):
    source = CocoJson(write(tmp_path, [annotation([TRIANGLE])]))
    sent = pickle.dumps(source)
    assert b"seven" not in sent
    np.testing.assert_array_equal(pickle.loads(sent)[0].masks[0], source[0].masks[0])


def test_bad_records(tmp_path):
    images = [
        {"id": 7, "file_name": "seven.jpg", "height": WIDTH, "width": HEIGHT},
        {"id": 8, "file_name": "eight.jpg", "height": HEIGHT, "width": WIDTH},
        {"id": 9, "file_name": "seven.jpg", "height": HEIGHT, "width": WIDTH},
    ]
    annotations = [annotation([TRIANGLE], i) for i in (7, 8)] + [annotation("what?", 9)]
    source = CocoJson(write(tmp_path, annotations, images))
    with pytest.raises(RecordError, match=r"instances\.json says 30 and 44"):
        source[0]
    with pytest.raises(RecordError, match=r"no photo eight\.jpg"):
        source[1]
    assert len(source) == 2
    assert [reason.rpartition(": ")[2] for reason in source.list_left_out()] == [
        "a `segmentation` is neither polygons nor run-length encoded",
        "seven.jpg has no objects",
        "no photo eight.jpg in " + str(tmp_path / "images"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "not in COCO's form"),
        ('{"images": [], "annotations": [{}]}', "has no objects: 1 entries are of no use"),
        ('{"images": [], "annotations": []}', "has no objects"),
        (
            '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "segmentation": []}]}',
            "each image needs",
        ),
    ],
)
def test_files_of_another_form(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=message):
        CocoJson(tmp_path / "x.json")


def test_areas_agree_with_pycocotools(tmp_path):
    example = CocoJson(write(tmp_path, [annotation([TRIANGLE, SQUARE])]))[0]
    rle = coco_mask.merge(coco_mask.frPyObjects([TRIANGLE, SQUARE], HEIGHT, WIDTH))
    assert example.masks.runs(0).area == coco_mask.area(rle)
