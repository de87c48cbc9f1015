"""The truth of a COCO or LVIS json file with all that its benchmarks ask for: areas, categories, crowds, frequencies.

`sam_jax.data.coco` reads the same files for training, which needs the masks alone. LVIS: Gupta et al., "LVIS: A Dataset
for Large Vocabulary Instance Segmentation", CVPR 2019.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.coco import find_photo, photo_places, rasterise
from sam_jax.data.example import RecordError
from sam_jax.data.folders import read_photo
from sam_jax.ops.rle import Rle, compress_counts
from sam_jax.types import InputError

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}
"""LVIS' groups of categories: in more than 100 images of the training split, in 11 to 100, in at most 10."""


class ObjectTruth(NamedTuple):
    """What a file says about a mask, beside the mask.

    Attributes:
        area: in pixels, as the benchmarks sort masks by size; None to count the mask's pixels.
        frequency: LVIS' group of its category, a key of `FREQUENCIES`; None if there is none.
    """

    area: float | None
    frequency: str | None


class CocoTruth(NamedTuple):
    """A json file of COCO's form.

    Attributes:
        path: of the file.
        images: entries as they stand, those without objects among them.
        annotations: likewise, crowds among them; all of known images and categories.
        categories: likewise.
    """

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    @property
    def has_frequencies(self) -> bool:
        """Whether every category has one of LVIS' groups."""
        known = [category.get("frequency") in FREQUENCIES for category in self.categories]
        return bool(known) and all(known)

    @property
    def is_lvis(self) -> bool:
        """Whether images name the categories that they were searched for, as LVIS' do, which changes what AP is."""
        return self.has_frequencies and all("neg_category_ids" in image for image in self.images)

    def objects(self) -> list[list[ObjectTruth]]:
        """For each example of `CocoJson` on this file, what is known of its masks, in their order."""
        frequencies = {category["id"]: category.get("frequency") for category in self.categories}
        objects = defaultdict(list)
        for annotation in self.annotations:
            if not annotation.get("iscrowd", 0):
                frequency = frequencies[annotation["category_id"]]
                known = ObjectTruth(
                    None if "area" not in annotation else float(annotation["area"]),
                    frequency if frequency in FREQUENCIES else None,
                )
                objects[annotation["image_id"]].append(known)
        return [objects[image["id"]] for image in self.images if image["id"] in objects]

    def masks(self, image_ids: Collection[int]) -> dict[int, list[Rle]]:
        """The masks of some images, crowds left out, with counts as COCO's strings."""
        sizes = {image["id"]: (image["height"], image["width"]) for image in self.images}
        masks = defaultdict(list)
        for annotation in self.annotations:
            if annotation["image_id"] in image_ids and not annotation.get("iscrowd", 0):
                segmentation = annotation["segmentation"]
                if not isinstance(segmentation, dict):
                    segmentation = rasterise(segmentation, sizes[annotation["image_id"]])
                counts = segmentation["counts"]
                if not isinstance(counts, str):
                    counts = compress_counts(counts)
                masks[annotation["image_id"]].append(
                    Rle(size=list(segmentation["size"]), counts=counts)
                )
        return masks

    def read_photo(self, index: int, folder: Path) -> UInt8[np.ndarray, "h w 3"]:
        """Read the photo of an image from the folder of photos.

        Raises:
            RecordError: it is missing, cannot be read, or is of another size.
        """
        image = self.images[index]
        path = find_photo(folder, image)
        if path is None:
            raise RecordError(f"{self.path}: no photo {photo_places(image)[0]} in {folder}")
        photo = read_photo(path)
        if photo.shape[:2] != (image["height"], image["width"]):
            raise RecordError(
                f"{path} is {photo.shape[1]} wide and {photo.shape[0]} high, "
                f"but {self.path.name} says {image['width']} and {image['height']}"
            )
        return photo


def read_truth(path: Path) -> CocoTruth:
    """Read a file of truth.

    Raises:
        InputError: the file cannot be read, is not in COCO's form, has no images or no annotations, or refers to what
            it doesn't have.
    """
    document = read_json(path)
    try:
        truth = CocoTruth(path, document["images"], document["annotations"], document["categories"])
        images = {image["id"] for image in truth.images}
        categories = {category["id"] for category in truth.categories}
        is_complete = all(
            "height" in image and "width" in image and photo_places(image) for image in truth.images
        )
        lost = [
            number
            for number, annotation in enumerate(truth.annotations)
            if annotation["image_id"] not in images
            or annotation["category_id"] not in categories
            or "segmentation" not in annotation
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a file of truth in COCO's form: it needs `images`, `annotations` and `categories`, "
            f"see cocodataset.org ({error!r})"
        ) from error
    if not is_complete:
        raise InputError(
            f"{path} is not a file of truth in COCO's form: each image needs `file_name`, `height` and `width`"
        )
    if not truth.images or not truth.annotations:
        raise InputError(f"{path} has nothing to measure against: no images, or no annotations")
    if lost:
        raise InputError(
            f"{path}: annotation number {lost[0]} (of {len(lost)} like it) has no `segmentation`, or an image or "
            "category that the file doesn't have"
        )
    return truth


def read_json(path: Path) -> Any:
    """Read any json file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
