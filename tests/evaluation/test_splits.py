import numpy as np
import pytest
from PIL import Image

from sam_jax.evaluation.splits import open_split
from sam_jax.types import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(10):
        shape, path = (20, 30), f"{number}.png"
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(tmp_path / "images" / path)
        Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / "labels" / path)
    return tmp_path


@pytest.mark.parametrize(
    ("ending", "most", "indices"),
    [
        ("", None, list(range(10))),
        ("@5", None, [0, 5]),
        ("", 4, [0, 3, 6, 9]),
        ("@2", 3, [0, 4, 8]),
        ("@7:", None, [7, 8, 9]),
        ("@2:9", 3, [2, 5, 8]),
        ("@8:40", None, [8, 9]),
        ("", 99, list(range(10))),
    ],
)
def test_a_part_of_a_data_set(folder, ending, most, indices):
    split = open_split(f"nuclei={folder}{ending}", most)
    assert split.name == "nuclei"
    assert split.indices == indices
    assert len(split.source) == 10


def test_a_folder_with_an_at_sign(folder):
    renamed = folder.rename(folder.with_name("me@home"))
    assert open_split(f"nuclei={renamed}").indices == list(range(10))
    assert open_split(f"nuclei={renamed}@5").indices == [0, 5]


@pytest.mark.parametrize(
    ("text", "most", "message"),
    [
        ("data", None, "'data' is no data set: give NAME=PLACE"),
        ("=data", None, "is no data set"),
        ("name=", None, "is no data set"),
        ("name=nowhere", None, "no such file or folder: nowhere"),
        ("name=synthetic:0@0", None, "every 0th image"),
        ("name=synthetic:0", 0, "at most 0 images"),
        (
            "name=synthetic:0",
            None,
            r"say how many to measure, name=synthetic:0@0:100, or --images 100",
        ),
        ("name=synthetic:0@5", None, "say how many to measure"),
        ("name=synthetic:0@3:3", None, "leaves none of its 1000000 images"),
    ],
)
def test_what_cannot_be_opened(text, most, message):
    with pytest.raises(InputError, match=message):
        open_split(text, most)


def test_an_empty_data_set(tmp_path):
    path = tmp_path / "empty.json"
    path.write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(InputError, match="no objects"):
        open_split(f"name={path}")
