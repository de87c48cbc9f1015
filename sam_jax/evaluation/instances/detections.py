"""Boxes of a detector to prompt with (SAM, section 7.4): a results file in COCO's format, or the truth in its place.

The format is a list of `{"image_id": 42, "category_id": 18, "bbox": [x, y, width, height], "score": 0.9}`, as
written by Detectron2, MMDetection and others.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sam_jax.data.coco_file import CocoAnnotations, Ids, read_json
from sam_jax.data.example import RecordError
from sam_jax.types import InputError

TRUTH = "truth"
"""Name of the source of boxes that are the truth's."""

KEYS = ("image_id", "category_id", "bbox", "score")
"""Keys of a detection in a results file."""


class Detection(NamedTuple):
    """A box with the category of what is in it.

    Attributes:
        category: Id of the category in the file of truth.
        box_xywh: Box x, y, width, height in pixels.
        score: Confidence of the detector; higher is surer.
    """

    category: int | float | str
    box_xywh: tuple[float, float, float, float]
    score: float


class Detections(NamedTuple):
    """All boxes of a data set.

    Attributes:
        source: What made them: the name of the detector's file, or `TRUTH`.
        by_image: Boxes of each image by image id, in the file's order; images without any are left out.
        skipped: Reasons why boxes have been left out, one for each: no width or height, no numbers.
    """

    source: str
    by_image: dict[Any, list[Detection]]
    skipped: list[str]


def read_detections(path: Path, truth: CocoAnnotations) -> Detections:
    """Read a results file in COCO's format.

    Args:
        path: Path of the JSON file.
        truth: Truth of the same data set, by which ids of images and categories are checked.

    Raises:
        InputError: The file cannot be read, has another format or another data set, or no entry that can be used.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        what = "a file of truth" if isinstance(entries, dict) and "images" in entries else "no list"
        raise InputError(
            f"{path} is {what}: a results file is a list of detections with {', '.join(KEYS)}"
        )
    if not entries:
        raise InputError(f"{path} has no detections")
    _check_keys(path, entries)
    _check_ids(path, entries, truth)
    return _gather(path.stem, path, enumerate(entries))


def truth_detections(truth: CocoAnnotations) -> Detections:
    """The boxes of the truth without crowd regions, each with score 1, as a perfect detector would find them.

    Raises:
        InputError: No annotation has a valid box.
    """
    entries = (
        (number, {**annotation, "score": 1.0})
        for number, annotation in enumerate(truth.annotations)
        if not annotation["iscrowd"]
    )
    return _gather(TRUTH, truth.path, entries)


def _gather(source: str, path: Path, entries: Iterable[tuple[int, dict[str, Any]]]) -> Detections:
    """The boxes of entries that are numbers and have a size.

    Raises:
        InputError: There are only others.
    """
    by_image = defaultdict(list)
    skipped: list[str] = []
    for number, entry in entries:
        try:
            detection = _read_entry(path, number, entry)
        except RecordError as error:
            skipped.append(str(error))
            continue
        if _has_size(detection):
            by_image[entry["image_id"]].append(detection)
        else:
            skipped.append(f"{path}: entry number {number} has a bbox without width or height")
    if skipped and not by_image:
        raise InputError(f"no box can be used: {skipped[0]} ({len(skipped)} like it)")
    return Detections(source, dict(by_image), skipped)


def _check_keys(path: Path, entries: list[Any]) -> None:
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(
                f"{path}: entry number {number} is no detection with {', '.join(KEYS)}"
            )
        missing = [key for key in KEYS if key not in entry]
        if missing:
            raise InputError(
                f"{path}: entry number {number} has no {', '.join(missing)}; "
                f"a detection has {', '.join(KEYS)}"
            )


def _check_ids(path: Path, entries: list[dict[str, Any]], truth: CocoAnnotations) -> None:
    """Give all entries the ids that the truth has, and refuse others.

    pycocotools ignores categories that the truth doesn't have, or has as another type, and a wrong AP comes out.
    """
    images = Ids(image["id"] for image in truth.images)
    categories = Ids(category["id"] for category in truth.categories)
    strange_images, strange_categories = (
        [number for number, entry in enumerate(entries) if known.find(entry[key]) is None]
        for key, known in (("image_id", images), ("category_id", categories))
    )
    if len(strange_images) == len(entries):
        raise InputError(
            f"{path} is of another data set: none of its images is in {truth.path}; "
            "give the truth of the same split"
        )
    if strange_images:
        raise InputError(
            f"{path}: entry number {strange_images[0]} is of image "
            f"{entries[strange_images[0]]['image_id']!r}, which {truth.path} doesn't have"
        )
    if strange_categories:
        raise InputError(
            f"{path}: entry number {strange_categories[0]} is of category "
            f"{entries[strange_categories[0]]['category_id']!r}, which {truth.path} doesn't have; "
            "use its ids (COCO's 80 categories go up to 90)"
        )
    for entry in entries:
        entry["image_id"] = images.find(entry["image_id"])
        entry["category_id"] = categories.find(entry["category_id"])


def _read_entry(path: Path, number: int, entry: dict[str, Any]) -> Detection:
    try:
        x, y, width, height = map(float, entry["bbox"])
        score = float(entry["score"])
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise RecordError(
            f"{path}: entry number {number} has no bbox of four numbers, or no score: {error}"
        ) from error
    if not all(map(math.isfinite, (x, y, width, height, score))):
        raise RecordError(
            f"{path}: entry number {number} has a bbox or score that is not finite: "
            f"{entry['bbox']}, {entry['score']}"
        )
    return Detection(entry["category_id"], (x, y, width, height), score)


def _has_size(detection: Detection) -> bool:
    _, _, width, height = detection.box_xywh
    return width > 0 and height > 0
