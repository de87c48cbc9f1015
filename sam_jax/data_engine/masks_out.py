"""Masks of the database, written in the forms that other programs read."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from sqlalchemy import Connection, or_, select

from sam_jax.data.folders import strip_ending
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.photos import read_names
from sam_jax.data_engine.schema import MaskState, masks, models, photos
from sam_jax.inference.mask_files import COCO_CATEGORY, gather_coco, make_document
from sam_jax.ops.rle import decode_rle
from sam_jax.storage import atomic_folder, copy_file, make_folder, mark_as_output, write_json
from sam_jax.types import InputError

Form = Literal["sa1b", "coco", "labels"]
COCO_FILE = "annotations.json"
PHOTO_FOLDER, LABEL_FOLDER = "images", "labels"
_MOST_LABELS = 65535


class Written(NamedTuple):
    """What was written.

    Attributes:
        photos: Number of photos.
        masks: Number of their masks.
        problems: Photos and masks that could not be written, a line for each.
    """

    photos: int
    masks: int
    problems: list[str]


def export_masks(database: Database, folder: Path, output: Path, form: Form) -> Written:
    """Write the masks that are done, with their photos, as a data set that `open_source` opens.

    SA-1B's and COCO's annotations say who drew a mask, when, in which stage, with which model, in how many seconds and
    clicks. In a label map a pixel belongs to one mask: smaller masks lie on larger ones.

    Args:
        database: Database of the masks.
        folder: Folder of the photos.
        output: Folder that is made; it appears when it is complete.
        form: Form of the data set.

    Raises:
        InputError: The folder exists, or no photo has masks.
        DatabaseError: The database cannot be read.
        RunError: The disk is full.
    """
    write = {"sa1b": _write_sa1b, "coco": _write_coco, "labels": _write_labels}[form]
    with database.reading() as connection:
        has_masks = select(masks.c.id).where(
            masks.c.photo_id == photos.c.id, masks.c.state == MaskState.DONE
        )
        query = (
            select(photos)
            .where(photos.c.height.is_not(None))
            .where(or_(photos.c.finished_at.is_not(None), has_masks.exists()))
            .order_by(photos.c.path)
        )
        found = [
            (row, _read_records(connection, row["id"], row["height"], row["width"]))
            for row in connection.execute(query).mappings()
        ]
    if not found:
        raise InputError("no photo has masks yet: nothing to export")
    problems: list[str] = []
    usable, names = [], set()
    for row, records in found:
        if not (folder / row["path"]).is_file():
            problems.append(f"{row['path']} is not there any more")
        elif strip_ending(row["path"]) in names:
            problems.append(f"{row['path']}: another photo has its name, with another ending")
        else:
            names.add(strip_ending(row["path"]))
            usable.append((row, records))
    with atomic_folder(output, COCO_FILE if form == "coco" else None) as unfinished:
        write(folder, unfinished, usable, problems)
        mark_as_output(unfinished)
    return Written(len(usable), sum(len(records) for _, records in usable), problems)


def _read_records(connection: Connection, photo_id: int, height: int, width: int) -> list[Any]:
    """The masks of a photo as SA-1B's annotations."""
    names = read_names(connection)
    model_names = {
        row.id: f"{row.name} {row.digest[:12]}"
        for row in connection.execute(select(models.c.id, models.c.name, models.c.digest))
    }
    query = (
        select(masks)
        .where(masks.c.photo_id == photo_id, masks.c.state == MaskState.DONE)
        .order_by(masks.c.created_at, masks.c.id)
    )
    records = []
    for row in connection.execute(query).mappings():
        x0, y0, x1, y1 = _read_box(row["box"])
        records.append(
            {
                "segmentation": {"size": [height, width], "counts": row["counts"]},
                "area": row["area"],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "predicted_iou": row["predicted_iou"],
                "mask_id": row["id"],
                "label": row["label"],
                "annotator": names.get(row["person_id"]),
                "time": row["created_at"],
                "stage": row["stage"],
                "model": model_names.get(row["model_id"]),
                "verdict": row["verdict"],
                "seconds": row["seconds"],
                "clicks": row["clicks"],
                "strokes": row["strokes"],
            }
        )
    return records


def _read_box(text: str) -> list[int]:
    return [int(part) for part in text.strip("[]").split(",")]


Found = list[tuple[Any, list[Any]]]
"""Rows of photos, each with its records."""


def _write_sa1b(folder: Path, output: Path, found: Found, _problems: list[str]) -> None:
    for row, records in found:
        target = output / row["path"]
        make_folder(target.parent)
        copy_file(folder / row["path"], target)
        document = make_document(records, row["path"], (row["height"], row["width"]))
        write_json(target.with_suffix(".json"), document)


def _write_coco(folder: Path, output: Path, found: Found, _problems: list[str]) -> None:
    labels = sorted({record["label"] for _, records in found for record in records} - {""})
    numbers = {"": COCO_CATEGORY["id"]} | {
        label: COCO_CATEGORY["id"] + number for number, label in enumerate(labels, start=1)
    }
    documents = []
    for row, records in found:
        target = output / PHOTO_FOLDER / row["path"]
        make_folder(target.parent)
        copy_file(folder / row["path"], target)
        documents.append(
            (row["path"], make_document(records, row["path"], (row["height"], row["width"])))
        )
    gathered = gather_coco(documents)
    for annotation in gathered["annotations"]:
        annotation["category_id"] = numbers[annotation["label"]]
    gathered["categories"] = [
        COCO_CATEGORY,
        *({"id": numbers[label], "name": label, "supercategory": "object"} for label in labels),
    ]
    write_json(output / COCO_FILE, gathered)


def _write_labels(folder: Path, output: Path, found: Found, problems: list[str]) -> None:
    for row, records in found:
        target = output / PHOTO_FOLDER / row["path"]
        make_folder(target.parent)
        copy_file(folder / row["path"], target)
        labels = np.zeros((row["height"], row["width"]), np.uint16)
        largest_first = sorted(records, key=lambda record: -record["area"])[:_MOST_LABELS]
        for number, record in enumerate(largest_first, start=1):
            labels[decode_rle(record["segmentation"])] = number
        hidden = len(records) - np.count_nonzero(np.unique(labels))
        if hidden:
            problems.append(
                f"{row['path']}: {hidden} masks lie wholly under others, which a label map cannot hold"
            )
        path = output / LABEL_FOLDER / f"{strip_ending(row['path'])}.png"
        make_folder(path.parent)
        Image.fromarray(labels).save(path)
