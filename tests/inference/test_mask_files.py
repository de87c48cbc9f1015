import csv
import os

import numpy as np
import pytest

from sam_jax.data.images import read_mask
from sam_jax.inference.mask_files import COLUMNS, TABLE, gather_coco, make_document, write_pngs
from sam_jax.ops.rle import encode_rle
from sam_jax.types import RunError

RNG = np.random.default_rng(0)
MASKS = RNG.random((3, 5, 7)) < 0.5


def make_record(number):
    return {
        "segmentation": encode_rle(MASKS[number], compress=True),
        "area": int(MASKS[number].sum()),
        "bbox": [1, 2, 3, 4],
        "predicted_iou": 0.9,
        "point_coords": [[1.5, 2.5]],
        "stability_score": 0.97,
        "crop_box": [0, 0, 7, 5],
    }


def document(name, *numbers):
    return make_document([make_record(number) for number in numbers], name, (5, 7))


def test_pngs_replace_those_of_an_earlier_run(tmp_path, full_disk):
    folder = tmp_path / "below" / "a photo"
    write_pngs(folder, document("a photo.jpg", 0, 1, 2)["annotations"])
    write_pngs(folder, document("a photo.jpg", 2, 0)["annotations"])
    assert sorted(os.listdir(folder)) == ["0.png", "1.png", TABLE]
    np.testing.assert_array_equal(read_mask(folder / "0.png"), MASKS[2])
    np.testing.assert_array_equal(read_mask(folder / "1.png"), MASKS[0])
    with (folder / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["area"]) for row in rows] == [MASKS[2].sum(), MASKS[0].sum()]
    with full_disk(), pytest.raises(RunError, match=f"cannot write {folder}: File too large"):
        write_pngs(folder, document("a photo.jpg", 1)["annotations"])
    assert sorted(os.listdir(folder)) == ["0.png", "1.png", TABLE]
    assert os.listdir(folder.parent) == ["a photo"]


def test_one_coco_file_numbers_photos_and_masks_anew():
    photos = [("x/a.jpg", document("x/a.jpg", 0, 1)), ("b.png", document("b.png", 2))]
    coco = gather_coco(photos)
    assert [(image["id"], image["file_name"]) for image in coco["images"]] == [
        (1, "x/a.jpg"),
        (2, "b.png"),
    ]
    assert [(a["id"], a["image_id"], a["area"]) for a in coco["annotations"]] == [
        (number + 1, image, MASKS[number].sum()) for number, image in enumerate([1, 1, 2])
    ]
    assert {(image["width"], image["height"]) for image in coco["images"]} == {(7, 5)}


def test_a_photos_number_depends_on_its_path_alone():
    numbers = [document(name, 0)["image"]["image_id"] for name in ("x/a.jpg", "y/a.jpg", "x/a.jpg")]
    assert numbers[0] == numbers[2] != numbers[1]
    assert max(numbers) < 2**53
