import json

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.array_record import ArrayRecordSource
from sam_jax.data.array_record_builder import build_array_record
from sam_jax.data.augmentation import Augmentation
from sam_jax.data.bsds500 import Bsds500Folder
from sam_jax.data.coco import CocoJson
from sam_jax.data.example import RecordError
from sam_jax.data.label_maps import LabelMapFolder
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.data.sources import FORMS, open_photos, open_source
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.data.transforms import frame_example
from sam_jax.types import InputError

from .conftest import HEIGHT, WIDTH, paint_masks, paint_photo, write_sa1b_record

LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[3:9, 4:20] = 1


def write_pair(photo, truth):
    for path in (photo, truth):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(paint_photo(0)).save(photo)
    if truth.suffix == ".npz":
        np.savez(truth, segmentations=LABELS[None] + 1)
    else:
        Image.fromarray(LABELS).save(truth)


def write_coco(folder, name="instances_val2017"):
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "val2017").mkdir(exist_ok=True)
    Image.fromarray(paint_photo(0)).save(folder / "val2017" / "1.jpg")
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"image_id": 1, "segmentation": [[1, 1, 20, 1, 20, 20]]}],
    }
    path = folder / "annotations" / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("photo", "truth", "kind"),
    [
        ("images/a.png", "labels/a.png", LabelMapFolder),
        ("images/camel/00.jpg", "masks/camel/00.png", LabelMapFolder),
        ("JPEGImages/480p/camel/00.jpg", "Annotations/480p/camel/00.png", LabelMapFolder),
        ("images/train/2.jpg", "ground_truth/train/2.npz", Bsds500Folder),
        ("images/train/2.jpg", "groundTruth/train/2.npz", Bsds500Folder),
    ],
)
def test_pairs_of_folders_and_parts_of_them(tmp_path, photo, truth, kind):
    write_pair(tmp_path / photo, tmp_path / truth)
    part = (tmp_path / photo).parent
    if part.name != "images":
        other = (tmp_path / truth).parent.with_name("other") / f"z{(tmp_path / truth).suffix}"
        write_pair(part.with_name("other") / "z.png", other)
    for place in {tmp_path, part}:
        source = open_source(place)
        assert isinstance(source, kind)
        example = next(
            source[i] for i in range(len(source)) if str(tmp_path / photo) in source[i].name
        )
        assert any((example.masks[i] == (LABELS == 1)).all() for i in range(len(example.masks)))
    if part.name != "images":
        assert len(open_source(part)) == 1


def test_parts_are_found_from_relative_paths(tmp_path, monkeypatch):
    write_pair(tmp_path / "images/camel/00.jpg", tmp_path / "masks/camel/00.png")
    monkeypatch.chdir(tmp_path / "images")
    assert open_source("camel")[0].name == "camel/00.jpg"


def test_sa1b_and_its_array_record(sa1b_folder, tmp_path):
    assert isinstance(open_source(sa1b_folder), Sa1bFolder)
    assert len(open_source(sa1b_folder / "part_1")) == 3
    report = build_array_record(sa1b_folder, tmp_path)
    for place in (tmp_path, tmp_path / "segment_anything", report.folder):
        source = open_source(place)
        assert isinstance(source, ArrayRecordSource)
        assert len(source) == 6


def test_coco_by_file_and_by_folder(tmp_path):
    path = write_coco(tmp_path)
    for place in (path, tmp_path, tmp_path / "annotations"):
        source = open_source(str(place))
        assert isinstance(source, CocoJson)
        assert source[0].masks[0].any()
    write_coco(tmp_path, "person_keypoints_val2017")
    with pytest.raises(InputError, match=r"several COCO files: name one of .*instances_val2017"):
        open_source(tmp_path)


def test_synthetic_by_name(tmp_path, monkeypatch):
    source = open_source("synthetic:3")
    assert isinstance(source, SyntheticSource)
    assert source.seed == 3
    assert open_source("synthetic").name == "synthetic-0"
    for place in ("synthetic:x", "synthetic:-1"):
        with pytest.raises(InputError, match="the seed is a whole number"):
            open_source(place)
    write_sa1b_record(tmp_path / "synthetic", "sa_1", 1, paint_masks(1, 2))
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_source("synthetic"), Sa1bFolder)


def test_a_name_that_is_nearly_right(tmp_path):
    (tmp_path / "bbbc038").mkdir()
    with pytest.raises(InputError, match=r"no such file or folder: .*did you mean .*bbbc038\?"):
        open_source(tmp_path / "bbbc083")
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "x" / "y" / "z")


def test_folders_of_no_known_form(tmp_path):
    (tmp_path / "notes.json").write_text('{"a": 1}')
    (tmp_path / "empty.json").touch()
    Image.fromarray(paint_photo(0)).save(tmp_path / "photo.jpg")
    with pytest.raises(InputError) as caught:
        open_source(tmp_path)
    assert all(form in str(caught.value) for form in FORMS)
    assert "did you mean" not in str(caught.value)
    write_pair(tmp_path / "sets/one/images/a.png", tmp_path / "sets/one/labels/a.png")
    write_coco(tmp_path / "sets/two")
    (tmp_path / "sets/three").mkdir()
    with pytest.raises(InputError, match=r"did you mean .*/one or .*/two\?"):
        open_source(tmp_path / "sets")


def test_files_of_no_known_form(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputError, match=r"is a file; give a folder, or a COCO or LVIS \.json"):
        open_source(tmp_path / "photo.jpg")


def test_photos_need_no_masks(tmp_path):
    """Any folder of photos will do; a data set is read as one, so that its masks are no photos."""
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name in ("a.jpg", "below/b.png"):
        Image.fromarray(paint_photo(0)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "c.jpg").write_bytes(b"no photo")
    source = open_photos(tmp_path / "photos")
    assert len(source) == 3
    np.testing.assert_array_equal(source[1].image, paint_photo(0))
    assert len(source[1].masks) == 0
    with pytest.raises(RecordError, match=r"c\.jpg"):
        source[2]
    framed = frame_example(source[1], (32, 48), 0, Augmentation(), np.random.default_rng(0))
    assert framed.masks.shape == (0, 8, 12)
    assert framed.image.any()
    write_pair(tmp_path / "set" / "images" / "a.png", tmp_path / "set" / "labels" / "a.png")
    assert isinstance(open_photos(tmp_path / "set"), LabelMapFolder)
    with pytest.raises(InputError, match="no such file or folder"):
        open_photos(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos"):
        open_photos(tmp_path / "empty")
