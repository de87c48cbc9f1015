"""What an owner tells of a data set: orientation of photos, background and void of label maps."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.coco import CocoJson
from sam_jax.data.example import RecordError
from sam_jax.data.hints import Hints, read_hints
from sam_jax.data.label_maps import LabelMapFolder
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError

from .conftest import HEIGHT, WIDTH, paint_masks, paint_photo

STORED = paint_photo(0)
MASK = paint_masks(0, 1)[0]


def save_turned(path: Path, orientation: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(STORED)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def write_maps(folder: Path, orientation: int) -> LabelMapFolder:
    save_turned(folder / "images" / "a.png", orientation)
    (folder / "labels").mkdir()
    Image.fromarray(MASK).save(folder / "labels" / "a.png")
    return LabelMapFolder(folder / "images", folder / "labels")


def write_coco(folder: Path, orientation: int) -> CocoJson:
    save_turned(folder / "images" / "a.png", orientation)
    image = {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": encode_rle(MASK)}
    document = {"images": [image], "annotations": [annotation], "categories": []}
    (folder / "a.json").write_text(json.dumps(document))
    return CocoJson(folder / "a.json")


def write_sa1b(folder: Path, orientation: int) -> Sa1bFolder:
    save_turned(folder / "a.png", orientation)
    (folder / "a.json").write_text(
        json.dumps({"annotations": [{"segmentation": encode_rle(MASK)}]})
    )
    return Sa1bFolder(folder)


@pytest.mark.parametrize("write", [write_maps, write_coco, write_sa1b])
@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_masks_that_were_drawn_on_the_stored_photo(tmp_path, write, orientation):
    first = write(tmp_path / "first", orientation)
    if orientation == 3:
        (note,) = first[0].notes
        assert "EXIF orientation 3" in note
        assert "first/sam_jax.toml" in note
        np.testing.assert_array_equal(first[0].image, STORED[::-1, ::-1])
    else:  # by the size it shows that something is wrong
        with pytest.raises(RecordError, match=r'EXIF orientation.* orientation = "stored"'):
            first[0].masks[0]
    told = tmp_path / "told"
    told.mkdir()
    (told / "sam_jax.toml").write_text('orientation = "stored"\n')
    example = write(told, orientation)[0]
    np.testing.assert_array_equal(example.image, STORED)
    np.testing.assert_array_equal(example.masks[0], MASK)
    assert example.notes == ()


def test_upright_when_told(tmp_path):
    (tmp_path / "sam_jax.toml").write_text('orientation = "upright"\n')
    example = write_maps(tmp_path, 3)[0]
    np.testing.assert_array_equal(example.image, STORED[::-1, ::-1])
    assert example.notes == ()


def test_a_size_that_fits_settles_the_orientation(tmp_path):
    source = write_maps(tmp_path, 6)
    Image.fromarray(np.rot90(MASK, -1)).save(tmp_path / "labels" / "a.png")
    assert source[0].image.shape == (WIDTH, HEIGHT, 3)
    assert source[0].notes == ()


def test_all_hints(tmp_path):
    (tmp_path / "photos").mkdir()
    path = tmp_path / "sam_jax.toml"
    assert read_hints(tmp_path / "photos", tmp_path) == Hints(path)
    path.write_text('background = "#ffffff"\nvoid = [255, 7]\n')
    assert read_hints(tmp_path) == Hints(path, None, 0xFFFFFF, (255, 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("background = ", "cannot be read as TOML"),
        ("back = 3", "back is not known"),
        ('orientation = "left"', "orientation is"),
        ("void = 255", "void is a list"),
        ('background = "white"', "'white' is no label"),
        ("void = [-1]", "-1 is no label"),
    ],
)
def test_hints_that_are_none(tmp_path, text, message):
    (tmp_path / "sam_jax.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_hints(tmp_path)
