"""Masks of other data sets, taken over into the database."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from sam_jax.data.coco import CocoJson
from sam_jax.data.coco_file import photo_places, read_coco_json
from sam_jax.data.example import RecordError, RleMasks, mask_runs
from sam_jax.data.folders import strip_ending
from sam_jax.data.images import read_image
from sam_jax.data.pixel_runs import Runs, bound_runs
from sam_jax.data.sa1b import Sa1bFolder, read_sa1b_record
from sam_jax.data.segmentations import encode_segmentation
from sam_jax.data.sources import open_source
from sam_jax.data_engine.database import Database, insert_missing
from sam_jax.data_engine.mask_states import LONGEST_LABEL, read_name, read_text
from sam_jax.data_engine.photos import LONGEST_NAME, find_person
from sam_jax.data_engine.pictures import inspect_file
from sam_jax.data_engine.schema import MaskState, Stage, masks, photos
from sam_jax.data_engine.workplace import register_photos
from sam_jax.ops.rle import compress_counts
from sam_jax.types import InputError


class Taken(NamedTuple):
    """What was taken over.

    Attributes:
        photos: Number of photos that have got masks.
        masks: Number of their masks.
        known: Number of masks that the database has already.
        problems: What could not be taken over, a line for each.
    """

    photos: int
    masks: int
    known: int
    problems: list[str]


class Given(NamedTuple):
    """A photo of a data set.

    Attributes:
        place: Where the data set has the photo, or its name.
        masks: Function that reads its masks for a photo of a size: the runs of each, and what else is known of it.
    """

    place: str
    masks: Any


def import_masks(database: Database, folder: Path, place: str | Path) -> Taken:
    """Take the masks of a data set over for the photos of a folder.

    Photos are found by their path, or where that is of another folder by as much of its end as is needed to tell them
    apart. What is known of a mask (label, person, stage, seconds) is kept. Taking the same masks over again adds none.

    Args:
        database: Database of the masks.
        folder: Folder of the photos.
        place: The data set, in any form that `sam_jax.data.sources.open_source` knows.

    Raises:
        InputError: The data set or the folder cannot be read.
        DatabaseError: The database cannot take the masks.
    """
    register_photos(database, folder)
    given = _open(place)
    with database.reading() as connection:
        rows = connection.execute(select(photos.c.id, photos.c.path)).all()
    find = _PhotoFinder({row.path: row.id for row in rows})
    photo_count = mask_count = known_count = 0
    problems: list[str] = []
    for photo in given:
        try:
            number, path = find(photo.place)
            about = inspect_file(folder / path)
            pixels = read_image(folder / path)
            size = (pixels.shape[0], pixels.shape[1])
            columns = [_to_row(number, path, runs, extras) for runs, extras in photo.masks(size)]
        except InputError as error:
            problems.append(str(error))
            continue
        with database.writing() as connection:
            version = {"height": size[0], "width": size[1], **about._asdict()}
            connection.execute(update(photos).where(photos.c.id == number).values(version))
            for row in columns:
                person = row.pop("person")
                row["person_id"] = find_person(connection, person) if person else None
            before = _count_masks(connection, number)
            insert_missing(connection, masks, columns)
            added = _count_masks(connection, number) - before
        photo_count += added > 0
        mask_count += added
        known_count += len(columns) - added
    return Taken(photo_count, mask_count, known_count, problems)


class _PhotoFinder:
    """Finds the photo of the folder that a data set means."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._by_path = {strip_ending(path): (number, path) for path, number in numbers.items()}

    def __call__(self, place: str) -> tuple[int, str]:
        parts = PurePath(strip_ending(place.replace("\\", "/"))).parts
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if end in self._by_path:
                return self._by_path[end]
        name = parts[-1] if parts else ""
        alike = [found for end, found in self._by_path.items() if PurePath(end).name == name]
        if len(alike) == 1:
            return alike[0]
        reason = "several photos have its name" if alike else "there is no such photo"
        raise InputError(f"{place}: {reason} in the folder")


def _open(place: str | Path) -> Iterator[Given]:
    source = open_source(place)
    if isinstance(source, Sa1bFolder):
        for photo in source.photos:
            yield Given(photo, partial(_read_sa1b, source, source.folder / photo))
    elif isinstance(source, CocoJson):
        document = read_coco_json(Path(source.name))
        names = {category["id"]: category.get("name") for category in document.categories}
        objects = document.objects()
        for image in document.images:
            if image["id"] in objects:
                yield Given(
                    photo_places(image)[0], partial(_read_coco, objects[image["id"]], names)
                )
    else:
        for index in range(len(source)):
            try:
                example = source[index]
            except RecordError as error:
                yield Given(f"record {index}", partial(_fail, error))
                continue
            yield Given(example.name, partial(_read_masks, example.masks))


def _read_sa1b(
    source: Sa1bFolder, path: Path, size: tuple[int, int]
) -> Iterable[tuple[Runs, Mapping[str, Any]]]:
    annotations = read_sa1b_record(path, source.hints).annotations
    read = RleMasks([annotation["segmentation"] for annotation in annotations], size)
    return [(read.runs(k), annotation) for k, annotation in enumerate(annotations)]


def _read_coco(
    annotations: list[dict[str, Any]], names: Mapping[Any, Any], size: tuple[int, int]
) -> Iterable[tuple[Runs, Mapping[str, Any]]]:
    for annotation in annotations:
        rle = encode_segmentation(annotation["segmentation"], size)
        label = names.get(annotation.get("category_id"))
        extras = {"label": label} if isinstance(label, str) and label != "object" else {}
        yield RleMasks([rle], size).runs(0), annotation | extras


def _read_masks(read: Any, size: tuple[int, int]) -> Iterable[tuple[Runs, Mapping[str, Any]]]:
    for index in range(len(read)):
        runs = mask_runs(read, index)
        if runs.size != size:
            raise RecordError(f"a mask has the size {runs.size}, and its photo {size}")
        yield runs, {}


def _fail(error: RecordError, _size: tuple[int, int]) -> Iterable[Any]:
    raise error


def _to_row(photo_id: int, path: str, runs: Runs, extras: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table of masks; what a data set says of a mask in a form that isn't ours is passed over."""
    height, width = runs.size
    counts = pack_runs(runs)
    area = runs.area
    if not area:
        raise RecordError(f"{path}: a mask without pixels")
    (top, bottom), (left, right) = bound_runs(runs)
    digest = hashlib.sha256(f"{path}\n{height}\n{width}\n{counts}".encode()).hexdigest()[:32]
    stage, now = extras.get("stage"), time.time()
    created = _number(extras, "time", now)
    return {
        "id": _text(extras, "mask_id", read_name, "a mask's name") or digest,
        "photo_id": photo_id,
        "revision": 1,
        "state": str(MaskState.DONE),
        "stage": stage if stage in list(Stage) else int(Stage.IMPORTED),
        "model_id": None,
        "person": _text(extras, "annotator", partial(read_text, longest=LONGEST_NAME), "a name"),
        "verdict": None,
        "label": _text(extras, "label", partial(read_text, longest=LONGEST_LABEL), "a label") or "",
        "counts": counts,
        "area": area,
        "box": json.dumps([int(left), int(top), int(right), int(bottom)]),
        "prompt": None,
        "predicted_iou": _number(extras, "predicted_iou", None),
        "clicks": int(_number(extras, "clicks", 0.0) or 0),
        "strokes": int(_number(extras, "strokes", 0.0) or 0),
        "seconds": _number(extras, "seconds", 0.0) or 0.0,
        "created_at": created,
        "updated_at": now,
    }


def pack_runs(runs: Runs) -> str:
    """COCO's string of a mask's runs."""
    # Runs of two columns may meet, and are one then.
    meets = runs.ends[:-1] == runs.starts[1:]
    starts = [*runs.starts[:1].tolist(), *runs.starts[1:][~meets].tolist()]
    ends = [*runs.ends[:-1][~meets].tolist(), *runs.ends[-1:].tolist()]
    counts, place = [], 0
    for start, end in zip(starts, ends, strict=True):
        counts += [start - place, end - start]
        place = end
    rest = runs.size[0] * runs.size[1] - place
    return compress_counts([*counts, rest] if rest or not counts else counts)


def _text(extras: Mapping[str, Any], key: str, read: Any, what: str) -> str | None:
    try:
        return read(extras[key], what) if key in extras else None
    except InputError:
        return None


def _number(extras: Mapping[str, Any], key: str, default: float | None) -> float | None:
    value = extras.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        return default
    return float(value)


def _count_masks(connection: Connection, photo_id: int) -> int:
    query = select(func.count()).select_from(masks).where(masks.c.photo_id == photo_id)
    return connection.execute(query).scalar_one()
