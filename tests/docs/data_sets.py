"""Small real stand-ins for a reader's data: photos of scikit-image, in every form that the guides name."""

import json
from pathlib import Path

import numpy as np
import skimage.data
import skimage.segmentation
import skimage.transform
from PIL import Image

from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import compress_counts, encode_rle

HEIGHT, WIDTH = 48, 64
CATEGORIES = [{"id": 1, "name": "region", "frequency": "f"}]


def write_data_sets(folder: Path) -> None:
    """Write `photos`, `nuclei`, `data`, `lvis` and `coco` below a folder."""
    pictures = {
        name: _shrink(getattr(skimage.data, name)()) for name in ("astronaut", "coffee", "chelsea")
    }
    _write_sa1b(folder / "photos", pictures)
    for place in ("nuclei", "data/bbbc038"):
        _write_label_maps(folder / place, pictures)
    _write_bsds500(folder / "data/bsds500", pictures)
    _write_coco(folder / "lvis/lvis_v1_val.json", pictures)
    _write_coco(folder / "coco/instances_val2017.json", pictures)
    _write_boxes(folder / "vitdet.json", folder / "coco/instances_val2017.json")


def _shrink(picture: np.ndarray) -> np.ndarray:
    resized = skimage.transform.resize(picture, (HEIGHT, WIDTH), anti_aliasing=True)
    return (resized * 255).round().astype(np.uint8)


def _divide(picture: np.ndarray) -> np.ndarray:
    """Regions of a picture, as labels from 1."""
    return skimage.segmentation.felzenszwalb(picture, scale=200, min_size=60).astype(np.uint8) + 1


def _annotations(picture: np.ndarray) -> list[dict]:
    labels = _divide(picture)
    annotations = []
    for label in np.unique(labels):
        mask = labels == label
        rle = encode_rle(mask)
        annotations.append(
            {
                "id": int(label),
                "segmentation": {"size": rle["size"], "counts": compress_counts(rle["counts"])},
                "bbox": [int(side) for side in mask_to_box_xywh(mask)],
                "area": int(mask.sum()),
                "predicted_iou": 0.9,
                "stability_score": 0.95,
                "crop_box": [0, 0, WIDTH, HEIGHT],
                "point_coords": [[1.0, 1.0]],
            }
        )
    return annotations


def _write_sa1b(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, (name, picture) in enumerate(pictures.items()):
        Image.fromarray(picture).save(folder / f"{name}.jpg")
        image = {
            "image_id": number,
            "width": WIDTH,
            "height": HEIGHT,
            "file_name": f"{name}.jpg",
        }
        document = {"image": image, "annotations": _annotations(picture)}
        (folder / f"{name}.json").write_text(json.dumps(document))


def _write_label_maps(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"images/{name}.png")
        Image.fromarray(_divide(picture)).save(folder / f"labels/{name}.png")


def _write_bsds500(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    for part in ("images/val", "ground_truth/val"):
        (folder / part).mkdir(parents=True)
    for name, picture in pictures.items():
        labels = _divide(picture).astype(np.uint16)
        boundaries = skimage.segmentation.find_boundaries(labels, mode="inner")
        Image.fromarray(picture).save(folder / f"images/val/{name}.jpg")
        np.savez(
            folder / f"ground_truth/val/{name}.npz",
            segmentations=labels[None],
            boundaries=boundaries[None],
        )


def _write_coco(path: Path, pictures: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True)
    images, annotations = [], []
    for number, (name, picture) in enumerate(pictures.items()):
        Image.fromarray(picture).save(path.parent / f"{name}.jpg")
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": number, "file_name": f"{name}.jpg", **size})
        for annotation in _annotations(picture):
            own = {"id": len(annotations), "image_id": number, "category_id": 1, "iscrowd": 0}
            annotations.append(annotation | own)
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    path.write_text(json.dumps(document))


def _write_boxes(path: Path, truth: Path) -> None:
    """A detector's results: the boxes of the truth."""
    document = json.loads(truth.read_text())
    keys = ("image_id", "category_id", "bbox")
    boxes = [{key: one[key] for key in keys} | {"score": 0.9} for one in document["annotations"]]
    path.write_text(json.dumps(boxes))
