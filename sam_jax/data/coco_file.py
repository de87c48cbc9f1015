"""JSON files in COCO's format: what is in them, without the entries that cannot be used.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014 (https://arxiv.org/abs/1405.0312).
"""

import json
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sam_jax.data.segmentations import find_problem
from sam_jax.storage import refuse_endless
from sam_jax.types import InputError


class CocoAnnotations(NamedTuple):
    """The content of a JSON file in COCO's format.

    Entries are as they stand in the file, but for their ids: what refers to an image or category has the very id of
    that entry, also where the file writes one as a number and the other as a text, and whole numbers are `int`.

    Attributes:
        path: Path of the file.
        images: Entries of all images, those without objects included.
        annotations: Entries of all objects, crowd regions included.
        categories: Entries of all categories; empty if the file has none.
        left_out: Reasons why entries of the file are not among these, one for each.
    """

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    left_out: Sequence[str] = ()

    def objects(self) -> dict[Any, list[dict[str, Any]]]:
        """The annotations of each image that has any, by image id, in the file's order; crowd regions are left out."""
        by_image = defaultdict(list)
        for annotation in self.annotations:
            if not annotation["iscrowd"]:
                by_image[annotation["image_id"]].append(annotation)
        return by_image


class Ids:
    """The ids that a file's entries have, to find the one that another entry means.

    >>> Ids([1, "2", "a"]).find("1"), Ids([1, "2", "a"]).find(2.0), Ids([1, "2", "a"]).find("b")
    (1, '2', None)

    Args:
        ids: All ids.
    """

    def __init__(self, ids: Iterable[Any]) -> None:
        self._exact = {own: own for own in ids}
        self._alike: dict[Any, Any] = {}
        for own in self._exact:
            self._alike.setdefault(_as_number(own), own)

    def find(self, meant: Any) -> Any:
        """The id that differs from the one that is meant in its type at most; None if there is none."""
        if not isinstance(meant, Hashable):
            return None
        return self._exact.get(meant, self._alike.get(_as_number(meant)))


def read_coco_json(path: Path) -> CocoAnnotations:
    """Read a JSON file in COCO's format; entries that cannot be used are left out, and listed.

    Raises:
        InputError: The file cannot be read, is not in COCO's format, or none of its images can be used.
    """
    document = read_json(path)
    lists = [document.get(key) for key in ("images", "annotations")] if _is_object(document) else []
    if len(lists) != 2 or not all(isinstance(entries, list) for entries in lists):
        raise InputError(
            f"{path} is not in COCO's format: it needs `images` and `annotations`, see cocodataset.org"
        )
    left_out: list[str] = []
    images = _read_images(lists[0], left_out)
    if lists[0] and not images:
        raise InputError(
            f"{path} is not in COCO's format: each image needs `id`, `file_name`, `height` and `width`"
        )
    given = document.get("categories")
    categories = [
        {**category, "id": own}
        for category in (given if isinstance(given, list) else [])
        if _is_object(category) and (own := _as_id(category.get("id"))) is not None
    ]
    annotations = _read_annotations(lists[1], images, categories, left_out)
    return CocoAnnotations(
        path, images, annotations, categories, [f"{path}: {reason}" for reason in left_out]
    )


def read_json(path: Path) -> Any:
    """Read any JSON file.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    refuse_endless(path)
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def photo_places(image: dict[str, Any]) -> list[str]:
    """Where an image's photo can be, relative to the folder of photos, the likeliest first.

    LVIS gives a web address instead of a name. Tools on Windows write back slashes, and some write the whole path that
    the photo had on their machine, of which the name is left.
    """
    places = []
    name = image.get("file_name")
    if isinstance(name, str) and name:
        slashed = name.replace("\\", "/")
        places += [name, slashed]
        if slashed != name or slashed.startswith("/"):
            places.append(slashed.rpartition("/")[2])
    address = image.get("coco_url")
    if isinstance(address, str) and address:
        parts = address.split("/")
        places += ["/".join(parts[-2:]), parts[-1]]
    return [place for place in dict.fromkeys(places) if place]


def _read_images(entries: list[Any], left_out: list[str]) -> list[dict[str, Any]]:
    images: dict[Any, dict[str, Any]] = {}
    for number, image in enumerate(entries):
        own = _as_id(image.get("id")) if _is_object(image) else None
        sides = (
            [_as_number(image.get(key)) for key in ("height", "width")] if own is not None else []
        )
        is_whole = all(type(side) is int and side > 0 for side in sides)
        if own is None or not is_whole or not photo_places(image):
            left_out.append(
                f"image number {number} is left out: it needs `id`, `file_name`, `height` and `width`"
            )
        elif own in images:
            left_out.append(f"image number {number} is left out: another has its id, {own!r}")
        else:
            images[own] = {**image, "id": own, "height": sides[0], "width": sides[1]}
    return list(images.values())


def _read_annotations(
    entries: list[Any],
    images: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    left_out: list[str],
) -> list[dict[str, Any]]:
    known = Ids(image["id"] for image in images)
    known_categories = Ids(category["id"] for category in categories)
    annotations = []
    for number, annotation in enumerate(entries):
        if not _is_object(annotation):
            left_out.append(f"annotation number {number} is left out: it is no object of JSON")
            continue
        image = known.find(annotation.get("image_id"))
        if image is None:
            problem = f"the file has no usable image {annotation.get('image_id')!r}"
        elif annotation.get("segmentation") is None:
            problem = "it has no `segmentation`"
        else:
            problem = find_problem(annotation["segmentation"])
        if problem is not None:
            left_out.append(f"annotation number {number} is left out: {problem}")
            continue
        category = known_categories.find(annotation.get("category_id"))
        if category is not None:
            annotation["category_id"] = category
        annotation["image_id"] = image
        annotation["iscrowd"] = int(bool(_as_number(annotation.get("iscrowd"))))
        area = annotation.get("area")
        if "area" in annotation and not (isinstance(area, int | float) and math.isfinite(area)):
            del annotation["area"]
        annotations.append(annotation)
    return annotations


def _is_object(entry: Any) -> bool:
    return isinstance(entry, dict)


def _as_id(value: Any) -> int | float | str | None:
    """An id in the type that it has in the file, but whole numbers as `int`; None for what is no id."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int | str) else None


def _as_number(value: Any) -> Any:
    """A value, or the whole number that it is written for."""
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
