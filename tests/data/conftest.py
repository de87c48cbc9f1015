import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.hints import Hints
from sam_jax.ops.rle import encode_rle

NO_HINTS = Hints(Path("sam_jax.toml"))

HEIGHT, WIDTH = 30, 44
"""Of the photos here."""


def paint_photo(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def paint_masks(seed: int, count: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    return [
        np.hypot(rows - rng.uniform(5, size[0] - 5), columns - rng.uniform(5, size[1] - 5)) < 5 + k
        for k in range(count)
    ]


def write_sa1b_record(folder: Path, name: str, seed: int, masks: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    photo = folder / f"{name}.jpg"
    Image.fromarray(paint_photo(seed)).save(photo)
    document = {
        "image": {"image_id": seed, "width": WIDTH, "height": HEIGHT, "file_name": photo.name},
        "annotations": [
            {
                "id": 100 + k,
                "segmentation": encode_rle(mask, compress=True),
                "area": int(mask.sum()),
                "bbox": [1, 2, 3, 4],
                "predicted_iou": 0.9,
                "stability_score": 0.95,
                "point_coords": [[1.5, 2.5]],
                "crop_box": [0, 0, WIDTH, HEIGHT],
            }
            for k, mask in enumerate(masks)
        ],
    }
    photo.with_suffix(".json").write_text(json.dumps(document))
    return photo


def change_json(photo: Path, change) -> None:
    path = photo.with_suffix(".json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def spoil_sa1b_folder(folder: Path) -> dict[str, str]:
    """Adds a record for everything that can be wrong with one; returns a part of each message by record."""
    masks = paint_masks(0, 3)
    write_sa1b_record(folder, "no_json", 50, masks).with_suffix(".json").unlink()
    write_sa1b_record(folder, "json_cut", 51, masks).with_suffix(".json").write_text('{"image": ')
    write_sa1b_record(folder, "json_alien", 52, masks).with_suffix(".json").write_text("[1, 2]")
    photo = write_sa1b_record(folder, "photo_cut", 53, masks)
    photo.write_bytes(photo.read_bytes()[:700])
    write_sa1b_record(folder, "photo_text", 54, masks).write_text("not a photo")
    photo = write_sa1b_record(folder, "rle_size", 55, [mask.T for mask in masks])
    photo = write_sa1b_record(folder, "rle_short", 56, masks)
    change_json(
        photo,
        lambda document: [
            annotation["segmentation"].update(counts=[5, 5])
            for annotation in document["annotations"]
        ],
    )
    write_sa1b_record(folder, "masks_empty", 57, [np.zeros((HEIGHT, WIDTH), bool)] * 2)
    write_sa1b_record(folder, "masks_none", 58, [])
    return {
        "no_json": "no no_json.json beside it",
        "json_cut": "cannot be read as JSON",
        "json_alien": "not in SA-1B's form",
        "photo_cut": "truncated",
        "photo_text": "not an image",
        "rle_size": "is 30 wide and 44 high, but the photo is 44 wide and 30 high",
        "rle_short": "runs do not fill",
        "masks_empty": "each is empty, tiny, or over 90 %",
        "masks_none": "it has no masks",
    }


@pytest.fixture(scope="session")
def sa1b_folder(tmp_path_factory):
    """Six whole records, in two folders."""
    folder = tmp_path_factory.mktemp("sa1b")
    for i in range(6):
        write_sa1b_record(folder / f"part_{i % 2}", f"sa_{i}", i, paint_masks(i, 2 + i))
    return folder


@pytest.fixture(scope="session")
def spoiled_folder(tmp_path_factory):
    """Three whole records, and one for everything that can be wrong."""
    folder = tmp_path_factory.mktemp("spoiled")
    for i in range(3):
        write_sa1b_record(folder, f"sa_{i}", i, paint_masks(i, 3))
    return folder, spoil_sa1b_folder(folder)
