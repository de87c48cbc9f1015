import numpy as np
import pytest
from PIL import Image

from sam_jax.data.example import RecordError
from sam_jax.data.label_images import read_labels
from sam_jax.data.label_maps import LabelMapFolder

from .conftest import HEIGHT, NO_HINTS, WIDTH, paint_photo

BLOCKS = np.random.default_rng(0).choice(np.array([0, 1, 5, 300]), (HEIGHT // 5, WIDTH // 4))
LABELS = BLOCKS.repeat(5, axis=0).repeat(4, axis=1)


@pytest.fixture
def folders(tmp_path):
    photos, labels = tmp_path / "images", tmp_path / "labels"
    for folder in (photos / "camel", labels / "camel"):
        folder.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(paint_photo(i)).save(photos / "camel" / f"0000{i}.jpg")
        Image.fromarray(LABELS.astype(np.uint16)).save(labels / "camel" / f"0000{i}.png")
    return photos, labels


def test_every_label_is_an_object(folders):
    source = LabelMapFolder(*folders)
    assert len(source) == 2
    example = source[1]
    assert example.name == str(folders[0] / "camel" / "00001.jpg")
    assert len(example.masks) == 3
    for i, label in enumerate((1, 5, 300)):
        np.testing.assert_array_equal(example.masks[i], label == LABELS)


def test_maps_in_all_ways_of_writing_them(tmp_path):
    path = tmp_path / "map.png"
    small = (LABELS % 256).astype(np.uint8)
    Image.fromarray(small).save(path)
    np.testing.assert_array_equal(read_labels(path, NO_HINTS).labels, small)
    indexed = Image.fromarray(small).copy()
    indexed.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    indexed.save(path)
    assert indexed.mode == "P"
    np.testing.assert_array_equal(read_labels(path, NO_HINTS).labels, small)
    Image.fromarray(LABELS == 5).save(path)
    np.testing.assert_array_equal(read_labels(path, NO_HINTS).labels != 0, LABELS == 5)
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[LABELS == 1] = (0, 1, 0)
    colours[LABELS == 5] = (1, 0, 0)
    Image.fromarray(colours).save(path)
    np.testing.assert_array_equal(
        read_labels(path, NO_HINTS).labels, np.select([LABELS == 1, LABELS == 5], [256, 65536], 0)
    )


def test_bad_records(folders):
    labels = folders[1]
    (labels / "camel" / "00000.png").unlink()
    Image.fromarray(LABELS.T.astype(np.uint16)).save(labels / "camel" / "00001.png")
    source = LabelMapFolder(*folders)
    with pytest.raises(RecordError, match=r"00000.jpg: no map camel/00000.png"):
        source[0]
    with pytest.raises(RecordError, match="is 30 wide and 44 high, but the photo is 44 wide"):
        source[1]


def test_maps_that_are_none(tmp_path):
    path = tmp_path / "map.tif"
    Image.fromarray(np.zeros((3, 4), np.float32)).save(path)
    with pytest.raises(RecordError, match="not a map of labels: its pixels are F"):
        read_labels(path, NO_HINTS)
    path.write_bytes(b"II*\0 and no more")
    with pytest.raises(RecordError, match=r"map\.tif"):
        read_labels(path, NO_HINTS)
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8)).save(
        tmp_path / "m.png"
    )
    (tmp_path / "m.png").write_bytes((tmp_path / "m.png").read_bytes()[:900])
    with pytest.raises(RecordError, match="truncated or damaged"):
        read_labels(tmp_path / "m.png", NO_HINTS)
    with pytest.raises(RecordError, match=r"none\.png"):
        read_labels(tmp_path / "none.png", NO_HINTS)


def test_two_maps_of_one_name(folders):
    Image.fromarray(LABELS.astype(np.uint16)).save(folders[1] / "camel" / "00000.tif")
    source = LabelMapFolder(*folders)
    with pytest.raises(RecordError, match=r"00000\.jpg: two label maps of one name"):
        source[0]
    assert len(source[1].masks) == 3
    assert ["00000.jpg: two" in reason for reason in source.list_left_out()] == [True]
