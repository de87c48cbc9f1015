"""Photos to learn from, of a small folder like `data`."""

import json
import lzma
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.tiny.photos import OUTLINES, SEQUENCES, write_photos
from sam_jax.data.sources import open_source
from sam_jax.ops.rle import decode_rle, encode_rle
from sam_jax.types import InputError

HEIGHT, WIDTH = 180, 300
SKY, THING = (90, 140, 220), (150, 40, 30)


@pytest.fixture(scope="module")
def thing() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - 100) ** 2 + (columns - 120) ** 2 < 50**2


@pytest.fixture(scope="module")
def folder(tmp_path_factory, thing):
    """Every photo shows a disc before a sky; of COCO's two, the first may be learned from."""
    data = tmp_path_factory.mktemp("data")
    photo = Image.fromarray(np.where(thing[..., None], THING, SKY).astype(np.uint8))
    places = [f"davis2016/images/{sequence}/00000.png" for sequence in SEQUENCES]
    places += ["coco_tiny/images/1.png", "coco_tiny/images/2.png", "photos/one.jpg"]
    for place in places:
        (data / place).parent.mkdir(parents=True, exist_ok=True)
        photo.save(data / place, quality=95)
    for sequence in SEQUENCES:
        masks = data / "davis2016/masks" / sequence
        masks.mkdir(parents=True)
        Image.fromarray(thing.astype(np.uint8) * 255).save(masks / "00000.png")
    size = {"height": HEIGHT, "width": WIDTH, "flickr_url": "http://example.com/1"}
    document = {
        "images": [
            {"id": 1, "file_name": "1.png", "license": 4, **size},
            {"id": 2, "file_name": "2.png", "license": 3, **size},
        ],
        "licenses": [{"id": 4, "name": "CC BY"}, {"id": 3, "name": "CC BY-NC-ND"}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {
                "id": image,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": [[40, 30, 80, 30, 80, 70, 40, 70]],
                "area": 1600,
                "bbox": [40, 30, 40, 40],
            }
            for image in (1, 2)
        ],
    }
    (data / "coco_tiny/instances.json").write_text(json.dumps(document))
    return data


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """What is written of it."""
    out = tmp_path_factory.mktemp("photos") / "out"
    write_photos(folder, out)
    return out


def test_things_are_told_from_what_they_stand_before(written, thing) -> None:
    regions, surroundings = (open_source(written / part) for part in ("regions", "surroundings"))
    assert len(regions) == len(surroundings) == len(SEQUENCES) + 2
    for source, truth in ((regions, thing), (surroundings, ~thing)):
        for index in range(len(source)):
            masks = [source[index].masks[mask] for mask in range(len(source[index].masks))]
            largest = max(masks, key=np.sum)  # the blurred border leaves slivers, too
            assert (largest != truth).mean() < 0.03


def test_outlined_things_join_those_of_the_data_sets(folder, thing, tmp_path) -> None:
    """On one photo at half its size; on another beside the mask that it has."""
    half = thing[::2, ::2]
    upper = half.copy()
    upper[50:] = False
    drawn = {
        "photos/one.jpg": [half, upper],
        f"davis2016/images/{SEQUENCES[0]}/00000.png": [~thing],
    }
    photos = [
        {
            "file": file,
            "size": masks[0].shape,
            "things": [encode_rle(mask, compress=True) for mask in masks],
        }
        for file, masks in drawn.items()
    ]
    outlines = tmp_path / "outlines.json.xz"
    outlines.write_bytes(lzma.compress(json.dumps({"photos": photos}).encode()))
    write_photos(folder, tmp_path / "out", outlines)
    things, objects = (open_source(tmp_path / "out" / part) for part in ("things", "objects"))
    assert len(things) == 2
    assert len(objects) == len(SEQUENCES) + 2
    of_sequence, of_photo = (things[index] for index in range(2))
    assert of_photo.image.shape == (HEIGHT // 2, WIDTH // 2, 3)
    np.testing.assert_array_equal(of_photo.masks[0], half)
    np.testing.assert_array_equal(of_photo.masks[1], upper)
    assert len(of_photo.masks) == 2
    assert of_sequence.image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(of_sequence.masks[0], thing)
    np.testing.assert_array_equal(of_sequence.masks[1], ~thing)


def test_what_is_not_free_is_held_back(written) -> None:
    assert len(open_source(written / "objects")) == len(SEQUENCES) + 1
    held_back = json.loads((written / "held_back/instances.json").read_text())
    assert [image["id"] for image in held_back["images"]] == [2]
    assert [annotation["image_id"] for annotation in held_back["annotations"]] == [2]
    credits = (written / "credits.csv").read_text().splitlines()
    assert credits[1:] == ["1.png,CC BY,http://example.com/1"]


def test_a_folder_that_is_complete_is_left_alone(folder, written, tmp_path) -> None:
    shutil.copytree(written, tmp_path / "out")
    (tmp_path / "out/objects/one.json").write_text("as it was")
    write_photos(folder, tmp_path / "out")
    assert (tmp_path / "out/objects/one.json").read_text() == "as it was"


def test_missing_data_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no .*coco_tiny/instances\.json; .* must hold davis2016"):
        write_photos(tmp_path, tmp_path / "out")


def test_the_outlines_are_761_things_on_31_photos() -> None:
    photos = json.loads(lzma.decompress(OUTLINES.read_bytes()))["photos"]
    assert len({photo["file"] for photo in photos}) == len(photos) == 31
    areas = []
    for photo in photos:
        for thing in photo["things"]:
            mask = decode_rle({"size": photo["size"], "counts": thing["counts"]})
            assert mask.shape == tuple(photo["size"])
            areas.append(mask.sum())
    assert len(areas) == 761
    assert min(areas) > 0
