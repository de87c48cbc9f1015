"""The source of photos with annotations in COCO's format, LVIS included: one JSON file for all photos."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sam_jax.data.coco_file import photo_places, read_coco_json
from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import Photo, read_photo
from sam_jax.data.hints import Hints, read_hints
from sam_jax.data.segmentations import encode_segmentation
from sam_jax.types import InputError


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
            reason = "every photo is without annotations, or has crowds only"
            if document.left_out:
                reason = f"{len(document.left_out)} entries are of no use; {document.left_out[0]}"
            raise InputError(f"{annotations} has no objects: {reason}")
        self._left_out = [
            *document.left_out,
            *(
                f"{annotations}: {photo_places(image)[0]} has no objects"
                for image in document.images
                if image["id"] not in objects
            ),
        ]
        self._hints = read_hints(annotations)
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
        photo = read_coco_photo(path, image, self._annotations, self._hints)
        masks = RleMasks(_LazyRles(self._segmentations[index], photo.size), photo.size)
        return Example(str(path), photo.pixels, masks, photo.notes)

    def list_left_out(self) -> list[str]:
        """Entries of the file that are of no use, images without objects, and images whose photo is missing."""
        missing = [
            f"{self._annotations}: no photo {photo_places(image)[0]} in {self._photos}"
            for image in self._images
            if _find_file(self._photos, image) is None
        ]
        return [*self._left_out, *missing]


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
    # Some photos may be missing; that is for the loader to count. Where all are, looking for each takes a while.
    for looked_for in (images[:100], images[100:]):
        for folder in folders:
            if any(_find_file(folder, image) for image in looked_for):
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


def read_coco_photo(path: Path, image: dict[str, Any], annotations: Path, hints: Hints) -> Photo:
    """Read the photo of an image.

    Args:
        path: Path of the photo.
        image: Entry of the image in the JSON file.
        annotations: Path of the JSON file, for messages.
        hints: Hints for the data set.

    Raises:
        RecordError: The photo cannot be read, or has another size than the JSON file says.
    """
    photo = read_photo(path, hints)
    height, width = photo.size
    if (height, width) != (image["height"], image["width"]):
        raise RecordError(
            f"{path} is {width} wide and {height} high, but {annotations.name} says "
            f"{image['width']} and {image['height']}{photo.note and f'; {photo.note}'}"
        )
    return photo


def _find_file(folder: Path, image: dict[str, Any]) -> Path | None:
    for place in photo_places(image):
        with contextlib.suppress(OSError, ValueError):  # names that no file can have
            if (folder / place).is_file():
                return folder / place
    return None


class _LazyRles(Sequence[Any]):
    """Run lengths that are made from an image's polygons on access."""

    def __init__(self, segmentations: list[Any], size: tuple[int, int]) -> None:
        self._segmentations = segmentations
        self._size = size

    def __len__(self) -> int:
        return len(self._segmentations)

    def __getitem__(self, index: Any) -> Any:
        return encode_segmentation(self._segmentations[index], self._size)
