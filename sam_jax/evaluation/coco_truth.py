"""The truth of a COCO or LVIS JSON file with all that the benchmarks ask for: areas, categories, crowds, frequencies.

LVIS: Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019
(https://arxiv.org/abs/1908.03195).
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from sam_jax.data.coco import CocoAnnotations, encode_segmentation, read_coco_json
from sam_jax.ops.rle import Rle, compress_counts
from sam_jax.types import InputError

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}
"""LVIS' groups of categories: in more than 100 images of the training split, in 11 to 100, in at most 10."""


class ObjectTruth(NamedTuple):
    """What a file says about a mask, beside the mask.

    Attributes:
        area: Area in pixels by which the benchmarks sort masks into sizes; None to count the mask's pixels.
        frequency: LVIS' group of the mask's category, a key of `FREQUENCIES`; None if there is none.
    """

    area: float | None
    frequency: str | None


def read_truth(path: Path) -> CocoAnnotations:
    """Read a JSON file in COCO's format to measure against.

    Raises:
        InputError: The file cannot be read, is not in COCO's format, has no images or no annotations, or refers to
            images or categories that it doesn't have.
    """
    truth = read_coco_json(path)
    images = {image["id"] for image in truth.images}
    if not truth.images or not truth.annotations:
        raise InputError(f"{path} has nothing to measure against: no images, or no annotations")
    categories = {category.get("id") for category in truth.categories}
    lost = [
        number
        for number, annotation in enumerate(truth.annotations)
        if annotation.get("image_id") not in images
        or annotation.get("category_id") not in categories
        or "segmentation" not in annotation
    ]
    if lost:
        raise InputError(
            f"{path}: annotation number {lost[0]} (of {len(lost)} like it) has no `segmentation`, or an image or "
            "category that the file doesn't have"
        )
    return truth


def has_frequencies(truth: CocoAnnotations) -> bool:
    """Whether every category has one of LVIS' groups."""
    known = [category.get("frequency") in FREQUENCIES for category in truth.categories]
    return bool(known) and all(known)


def is_lvis(truth: CocoAnnotations) -> bool:
    """Whether images name the categories that they were searched for, as LVIS' do, which changes what AP is."""
    return has_frequencies(truth) and all("neg_category_ids" in image for image in truth.images)


def list_objects(truth: CocoAnnotations) -> list[list[ObjectTruth]]:
    """What is known of the masks of each example of `CocoJson` on the same file, in the order of its masks."""
    frequencies = {category["id"]: category.get("frequency") for category in truth.categories}
    by_image = truth.objects()

    def describe(annotation: dict) -> ObjectTruth:
        area = annotation.get("area")
        frequency = frequencies[annotation["category_id"]]
        return ObjectTruth(
            None if area is None else float(area), frequency if frequency in FREQUENCIES else None
        )

    return [
        [describe(annotation) for annotation in by_image[image["id"]]]
        for image in truth.images
        if image["id"] in by_image
    ]


def encode_objects(truth: CocoAnnotations, image_ids: Collection[int]) -> dict[int, list[Rle]]:
    """The masks of some images by image id, with counts as COCO's strings; crowd regions are left out."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth.images}
    by_image = truth.objects()
    return {
        image_id: [
            _compress(encode_segmentation(annotation["segmentation"], sizes[image_id]))
            for annotation in by_image.get(image_id, [])
        ]
        for image_id in image_ids
    }


def _compress(rle: Rle) -> Rle:
    counts = rle["counts"]
    text = counts if isinstance(counts, str) else compress_counts(counts)
    return Rle(size=list(rle["size"]), counts=text)
