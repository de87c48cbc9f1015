"""Annotations in COCO's form, LVIS' among them: one json file for all photos, masks as polygons or run-length encoded.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import read_photo
from sam_jax.ops.rle import Rle
from sam_jax.types import InputError

POLYGON_NUMBERS = 6
"""Of a triangle; less encloses nothing."""


class CocoJson:
    """A source: the photos of a json file that have objects; regions marked as crowds are left out.

    Args:
        annotations: the json file.
        photos: the folder of the photos; by default the first of the usual places that has one of them.

    Raises:
        InputError: the file cannot be read, or is not in COCO's form, or the photos are not in the usual places.
    """

    def __init__(self, annotations: Path, photos: Path | None = None) -> None:
        self._annotations = annotations
        self._images, self._segmentations = read_coco_json(annotations)
        self._photos = photos or find_photo_folder(annotations, self._images)

    def __reduce__(self) -> tuple[type["CocoJson"], tuple[Path, Path]]:
        # Reading the file again is faster than handing its content over.
        return CocoJson, (self._annotations, self._photos)

    @property
    def name(self) -> str:
        """The json file's path."""
        return str(self._annotations)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        image = self._images[index]
        path = find_photo(self._photos, image)
        if path is None:
            raise RecordError(
                f"{self._annotations}: no photo {photo_places(image)[0]} in {self._photos}"
            )
        photo = read_photo(path)
        size = (image["height"], image["width"])
        if photo.shape[:2] != size:
            raise RecordError(
                f"{path} is {photo.shape[1]} wide and {photo.shape[0]} high, "
                f"but {self._annotations.name} says {size[1]} and {size[0]}"
            )
        masks = RleMasks(_LazyRles(self._segmentations[index], size), size)
        return Example(str(path), photo, masks)


def read_coco_json(path: Path) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """Read the photos that have objects, and the masks of each.

    Raises:
        InputError: the file cannot be read, or is not in COCO's form, or has no objects.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    try:
        segmentations = defaultdict(list)
        for annotation in document["annotations"]:
            if not annotation.get("iscrowd", 0):
                segmentations[annotation["image_id"]].append(annotation["segmentation"])
        images = [
            {
                key: image[key]
                for key in ("height", "width", "file_name", "coco_url")
                if key in image
            }
            | {"id": image["id"]}
            for image in document["images"]
            if image["id"] in segmentations
        ]
        complete = all(
            "height" in image and "width" in image and photo_places(image) for image in images
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not in COCO's form: it needs `images` and `annotations`, see cocodataset.org ({error!r})"
        ) from error
    if not complete:
        raise InputError(
            f"{path} is not in COCO's form: each image needs `file_name`, `height` and `width`"
        )
    if not images:
        raise InputError(
            f"{path} has no objects: every photo is without annotations, or has crowds only"
        )
    return images, [segmentations[image["id"]] for image in images]


def photo_places(image: dict[str, Any]) -> list[str]:
    """Where a photo can be, relative to the folder: LVIS gives an address instead of a name."""
    places = [image["file_name"]] if "file_name" in image else []
    if "coco_url" in image:
        parts = image["coco_url"].split("/")
        places += ["/".join(parts[-2:]), parts[-1]]
    return places


def find_photo(folder: Path, image: dict[str, Any]) -> Path | None:
    """The file of a photo, or None."""
    return next(
        (folder / place for place in photo_places(image) if (folder / place).is_file()), None
    )


def find_photo_folder(annotations: Path, images: list[dict[str, Any]]) -> Path:
    """The first of the usual places beside a json file that has one of its photos.

    Raises:
        InputError: none has.
    """
    split = annotations.stem.rpartition("_")[2]
    folders = [
        parent / name
        for parent in (annotations.parent, annotations.parent.parent)
        for name in ("images", split, f"images/{split}", "")
    ]
    for folder in folders:
        # Some may be missing; that is for the loader to count.
        if any(find_photo(folder, image) for image in images[:100]):
            return folder
    raise InputError(
        f"none of the photos of {annotations} is beside it: looked for {photo_places(images[0])[0]} "
        f"and others in {', '.join(map(str, folders))}"
    )


class _LazyRles(Sequence[Any]):
    """Run-length encodings, made from polygons on access."""

    def __init__(self, segmentations: list[Any], size: tuple[int, int]) -> None:
        self._segmentations = segmentations
        self._size = size

    def __len__(self) -> int:
        return len(self._segmentations)

    def __getitem__(self, index: Any) -> Any:
        segmentation = self._segmentations[index]
        return (
            segmentation if isinstance(segmentation, dict) else rasterise(segmentation, self._size)
        )


def rasterise(polygons: Any, size: tuple[int, int]) -> Rle:
    """Draw the union of polygons as COCO does.

    Args:
        polygons: lists of x, y, x, y, ...; not checked yet.
        size: (h, w) of the photo.

    Raises:
        RecordError: not polygons.
    """
    # Imported here because only polygons need it.
    from pycocotools import mask as coco_mask

    height, width = size
    try:
        areas: Any = [list(map(float, polygon)) for polygon in polygons]
        areas = [polygon for polygon in areas if len(polygon) >= POLYGON_NUMBERS]
        if not areas:
            return Rle(size=[height, width], counts=[height * width])
        merged: Any = coco_mask.merge(coco_mask.frPyObjects(areas, height, width))
    except Exception as error:  # it raises bare Exceptions
        raise RecordError(
            f"an annotation is neither polygons nor run-length encoded: {error}"
        ) from error
    return Rle(size=[height, width], counts=merged["counts"].decode("ascii"))
