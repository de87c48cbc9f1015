"""Annotations in COCO's format, LVIS included: one JSON file for all photos, with masks as polygons or run lengths.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014 (https://arxiv.org/abs/1405.0312).
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import read_photo
from sam_jax.ops.rle import Rle
from sam_jax.types import InputError

TRIANGLE_NUMBERS = 6
"""The fewest numbers (x, y of each corner) of a polygon that encloses anything."""


class CocoAnnotations(NamedTuple):
    """The content of a JSON file in COCO's format, with its entries as they stand in the file.

    Attributes:
        path: Path of the file.
        images: Entries of all images, those without objects included.
        annotations: Entries of all objects, crowd regions included.
        categories: Entries of all categories; empty if the file has none.
    """

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    def objects(self) -> dict[Any, list[dict[str, Any]]]:
        """The annotations of each image that has any, by image id, in the file's order; crowd regions are left out."""
        by_image = defaultdict(list)
        for annotation in self.annotations:
            if not annotation.get("iscrowd", 0):
                by_image[annotation["image_id"]].append(annotation)
        return by_image


class CocoJson:
    """A source: the photos of a JSON file that have objects. Regions marked as crowds are left out.

    Args:
        annotations: Path of the JSON file.
        photos: Folder of the photos; the default is the first of the usual places that has one of them.

    Raises:
        InputError: The file cannot be read, is not in COCO's format or has no objects, or no photo is in the usual
            places.
    """

    def __init__(self, annotations: Path, photos: Path | None = None) -> None:
        self._annotations = annotations
        document = read_coco_json(annotations)
        objects = document.objects()
        kept = ("id", "height", "width", "file_name", "coco_url")
        # Nothing else of the file is kept: of LVIS it would fill gigabytes in every worker of the loader.
        self._images = [
            {key: image[key] for key in kept if key in image}
            for image in document.images
            if image["id"] in objects
        ]
        self._segmentations = [
            [annotation["segmentation"] for annotation in objects[image["id"]]]
            for image in self._images
        ]
        if not self._images:
            raise InputError(
                f"{annotations} has no objects: every photo is without annotations, or has crowds only"
            )
        self._photos = photos or find_photo_folder(annotations, self._images)

    def __reduce__(self) -> tuple[type["CocoJson"], tuple[Path, Path]]:
        # Reading the file again is faster than handing its content over.
        return CocoJson, (self._annotations, self._photos)

    @property
    def name(self) -> str:
        """The path of the JSON file."""
        return str(self._annotations)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        image = self._images[index]
        path = find_photo(self._annotations, image, self._photos)
        photo = read_coco_photo(path, image, self._annotations)
        size = (image["height"], image["width"])
        masks = RleMasks(_LazyRles(self._segmentations[index], size), size)
        return Example(str(path), photo, masks)


def read_coco_json(path: Path) -> CocoAnnotations:
    """Read a JSON file in COCO's format.

    Raises:
        InputError: The file cannot be read, or is not in COCO's format.
    """
    document = read_json(path)
    try:
        content = CocoAnnotations(
            path,
            list(document["images"]),
            list(document["annotations"]),
            list(document.get("categories", [])),
        )
        is_complete = all(
            "id" in image and "height" in image and "width" in image and photo_places(image)
            for image in content.images
        )
        for annotations in content.objects().values():
            for annotation in annotations:
                annotation["segmentation"]
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not in COCO's format: it needs `images` and `annotations`, see cocodataset.org ({error!r})"
        ) from error
    if not is_complete:
        raise InputError(
            f"{path} is not in COCO's format: each image needs `id`, `file_name`, `height` and `width`"
        )
    return content


def read_json(path: Path) -> Any:
    """Read any JSON file.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def photo_places(image: dict[str, Any]) -> list[str]:
    """Where an image's photo can be, relative to the folder of photos: LVIS gives a web address instead of a name."""
    places = [image["file_name"]] if "file_name" in image else []
    if "coco_url" in image:
        parts = image["coco_url"].split("/")
        places += ["/".join(parts[-2:]), parts[-1]]
    return places


def find_photo_folder(annotations: Path, images: Sequence[dict[str, Any]]) -> Path:
    """The first of the usual places near a JSON file that has one of its photos.

    Raises:
        InputError: None of them has.
    """
    split = annotations.stem.rpartition("_")[2]
    folders = [
        parent / name
        for parent in (annotations.parent, annotations.parent.parent)
        for name in ("images", split, f"images/{split}", "")
    ]
    for folder in folders:
        # Some photos may be missing; that is for the loader to count.
        if any(_find_file(folder, image) for image in images[:100]):
            return folder
    raise InputError(
        f"none of the photos of {annotations} is beside it: looked for {photo_places(images[0])[0]} "
        f"and others in {', '.join(map(str, folders))}"
    )


def find_photo(annotations: Path, image: dict[str, Any], folder: Path) -> Path:
    """The path of an image's photo.

    Args:
        annotations: Path of the JSON file, for messages.
        image: Entry of the image in the JSON file.
        folder: Folder of the photos.

    Raises:
        RecordError: The photo is missing.
    """
    path = _find_file(folder, image)
    if path is None:
        raise RecordError(f"{annotations}: no photo {photo_places(image)[0]} in {folder}")
    return path


def read_coco_photo(
    path: Path, image: dict[str, Any], annotations: Path
) -> UInt8[np.ndarray, "h w 3"]:
    """Read the photo of an image.

    Args:
        path: Path of the photo.
        image: Entry of the image in the JSON file.
        annotations: Path of the JSON file, for messages.

    Raises:
        RecordError: The photo cannot be read, or has another size than the JSON file says.
    """
    photo = read_photo(path)
    if photo.shape[:2] != (image["height"], image["width"]):
        raise RecordError(
            f"{path} is {photo.shape[1]} wide and {photo.shape[0]} high, "
            f"but {annotations.name} says {image['width']} and {image['height']}"
        )
    return photo


def encode_segmentation(segmentation: Any, size: tuple[int, int]) -> Rle:
    """The `segmentation` of an annotation, polygons or run lengths, as run lengths; both as COCO's tools draw them.

    Args:
        segmentation: Polygons as lists of x, y, x, y, ... in pixels, not checked yet; or run lengths, returned as they
            are.
        size: Height and width of the photo.

    Raises:
        RecordError: The segmentation is neither.
    """
    if isinstance(segmentation, dict):
        return cast(Rle, segmentation)
    # Imported here because only polygons need it.
    from pycocotools import mask as coco_mask

    height, width = size
    try:
        polygons: Any = [list(map(float, polygon)) for polygon in segmentation]
        polygons = [polygon for polygon in polygons if len(polygon) >= TRIANGLE_NUMBERS]
        if not polygons:
            return Rle(size=[height, width], counts=[height * width])
        union: Any = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    except Exception as error:  # it raises bare Exceptions
        raise RecordError(
            f"an annotation is neither polygons nor run-length encoded: {error}"
        ) from error
    return Rle(size=[height, width], counts=union["counts"].decode("ascii"))


def _find_file(folder: Path, image: dict[str, Any]) -> Path | None:
    return next(
        (folder / place for place in photo_places(image) if (folder / place).is_file()), None
    )


class _LazyRles(Sequence[Any]):
    """Run lengths that are made from an image's polygons on access."""

    def __init__(self, segmentations: list[Any], size: tuple[int, int]) -> None:
        self._segmentations = segmentations
        self._size = size

    def __len__(self) -> int:
        return len(self._segmentations)

    def __getitem__(self, index: Any) -> Any:
        return encode_segmentation(self._segmentations[index], self._size)
