"""Files of automatic masks: SA-1B's json, one COCO file, folders of PNG files."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sam_jax.data.example import RleMasks
from sam_jax.data.images import write_mask
from sam_jax.data.pixel_runs import bound_runs
from sam_jax.inference.automatic import Record
from sam_jax.ops.rle import Rle, decode_rle
from sam_jax.storage import atomic_folder
from sam_jax.types import InputError

COCO_CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}
TABLE = "metadata.csv"
COLUMNS = (
    *("id", "area", "bbox_x0", "bbox_y0", "bbox_w", "bbox_h", "point_input_x", "point_input_y"),
    *("predicted_iou", "stability_score"),
    *("crop_box_x0", "crop_box_y0", "crop_box_w", "crop_box_h"),
)
PHRASE_COLUMNS = ("phrase", "similarity")
"""What masks have beside that were chosen by phrases."""


def make_document(records: Sequence[Record], name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Make the json document of a photo's masks, with the fields of SA-1B's files.

    Args:
        records: Masks from a generator whose `output_mode` is `coco_rle`.
        name: Path of the photo relative to its folder; `image_id` is a hash of it.
        size: Height and width of the photo.
    """
    return {
        "image": {
            "image_id": _number(name),
            "file_name": Path(name).name,
            "height": size[0],
            "width": size[1],
        },
        "annotations": [{"id": number, **record} for number, record in enumerate(records)],
    }


def read_document(path: Path) -> dict[str, Any]:
    """Read a json document that `make_document` made.

    Raises:
        InputError: The file is damaged: it holds something else.
    """
    try:
        document = json.loads(path.read_bytes())
        size = (document["image"]["height"], document["image"]["width"])
        masks = [annotation["segmentation"]["counts"] for annotation in document["annotations"]]
        if all(isinstance(side, int) for side in size) and None not in masks:
            return document
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise InputError(f"{path} is damaged: delete it, and its photo is done again")


def _number(name: str) -> int:
    """A number for a name that doesn't depend on other photos, in the 53 bits that JSON readers keep."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:13], 16)


def write_pngs(folder: Path, annotations: Sequence[dict[str, Any]]) -> None:
    """Write 0.png, 1.png, ... and metadata.csv, as the official command line does. An existing folder is replaced.

    Args:
        folder: Folder of this photo's masks alone.
        annotations: Entry `annotations` of the document that `make_document` made.
    """
    with (
        atomic_folder(folder, TABLE, replaces=True) as unfinished,
        (unfinished / TABLE).open("w", newline="") as file,
    ):
        table = csv.writer(file)
        further = PHRASE_COLUMNS if any("phrase" in mask for mask in annotations) else ()
        table.writerow((*COLUMNS, *further))
        for annotation in annotations:
            mask = decode_rle(annotation["segmentation"])
            write_mask(unfinished / f"{annotation['id']}.png", mask)
            table.writerow(
                [
                    annotation["id"],
                    annotation["area"],
                    *annotation["bbox"],
                    *annotation["point_coords"][0],
                    annotation["predicted_iou"],
                    annotation["stability_score"],
                    *annotation["crop_box"],
                    *(annotation[name] for name in further),
                ]
            )


def gather_coco(documents: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Gather the documents of many photos into one COCO data set: without classes, or with those that phrases are.

    Boxes are those of pycocotools' `toBbox`; in the documents, as in the official generator's records, they are a pixel
    narrower and lower.

    Args:
        documents: Path of each photo, relative to the data set's folder, and its json document.
    """
    images, annotations = [], []
    classes: dict[str, int] = {}
    for number, (path, document) in enumerate(documents, start=1):
        image = document["image"]
        images.append(
            {"id": number, "file_name": path, "height": image["height"], "width": image["width"]}
        )
        for annotation in document["annotations"]:
            annotations.append(
                {
                    **annotation,
                    "bbox": _measure_box(annotation["segmentation"]),
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": _number_class(classes, annotation),
                    "iscrowd": 0,
                }
            )
    categories = [{**COCO_CATEGORY, "id": number, "name": name} for name, number in classes.items()]
    return {
        "images": images,
        "annotations": annotations,
        "categories": categories or [COCO_CATEGORY],
    }


def _number_class(classes: dict[str, int], annotation: dict[str, Any]) -> int:
    """The number of a mask's class, which is its phrase, among `classes`; a new one is added to them."""
    return classes.setdefault(annotation.get("phrase", COCO_CATEGORY["name"]), len(classes) + 1)


def _measure_box(rle: Rle) -> list[int]:
    """The box x, y, width, height that holds all pixels of a mask."""
    height, width = rle["size"]
    (top, bottom), (left, right) = bound_runs(RleMasks([rle], (height, width)).runs(0))
    return [left, top, right - left, bottom - top]
