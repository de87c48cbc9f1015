"""The truth of a COCO or LVIS JSON file with all that the benchmarks ask for: areas, categories, crowds, frequencies.

LVIS: Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019
(https://arxiv.org/abs/1908.03195).
"""

from collections.abc import Collection, Hashable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.data.coco_file import CocoAnnotations, read_coco_json
from sam_jax.data.example import RleMasks
from sam_jax.data.pixel_runs import Runs
from sam_jax.data.segmentations import encode_segmentation
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
    """Read a JSON file in COCO's format to measure against; objects without a category of the file are left out, too.

    Raises:
        InputError: The file cannot be read, is not in COCO's format, or has no images, or no annotations of use.
    """
    truth = read_coco_json(path)
    categories = {category["id"] for category in truth.categories}
    kept, left_out = [], list(truth.left_out)
    for annotation in truth.annotations:
        if _is_among(annotation.get("category_id"), categories):
            kept.append(annotation)
        else:
            left_out.append(
                f"{path}: annotation {annotation.get('id')!r} is left out: the file has no category "
                f"{annotation.get('category_id')!r}"
            )
    if not truth.images or not kept:
        reason = f"; {left_out[0]} ({len(left_out)} like it)" if left_out else ""
        raise InputError(
            f"{path} has nothing to measure against: no images, or no annotations{reason}"
        )
    return truth._replace(annotations=kept, left_out=left_out)


def has_frequencies(truth: CocoAnnotations) -> bool:
    """Whether every category has one of LVIS' groups."""
    known = [_is_among(one.get("frequency"), FREQUENCIES) for one in truth.categories]
    return bool(known) and all(known)


def is_lvis(truth: CocoAnnotations) -> bool:
    """Whether images name the categories that they were searched for, as LVIS' do, which changes what AP is."""
    return has_frequencies(truth) and all(
        isinstance(image.get("neg_category_ids"), list) for image in truth.images
    )


def list_objects(truth: CocoAnnotations) -> list[list[ObjectTruth]]:
    """What is known of the masks of each example of `CocoJson` on the same file, in the order of its masks."""
    frequencies = {
        category["id"]: category["frequency"]
        for category in truth.categories
        if _is_among(category.get("frequency"), FREQUENCIES)
    }
    by_image = truth.objects()

    def describe(annotation: dict[str, Any]) -> ObjectTruth:
        area = annotation.get("area")
        category = annotation.get("category_id")
        frequency = frequencies[category] if _is_among(category, frequencies) else None
        return ObjectTruth(None if area is None else float(area), frequency)

    return [
        [describe(annotation) for annotation in by_image[image["id"]]]
        for image in truth.images
        if image["id"] in by_image
    ]


def encode_objects(truth: CocoAnnotations, image_ids: Collection[Any]) -> dict[Any, list[Rle]]:
    """The masks of some images by image id, with counts as COCO's strings; crowd regions are left out.

    Raises:
        RecordError: A mask cannot be used.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth.images}
    by_image = truth.objects()
    return {
        image_id: [
            encode_object(annotation, sizes[image_id]) for annotation in by_image.get(image_id, [])
        ]
        for image_id in image_ids
    }


def encode_object(annotation: dict[str, Any], size: tuple[int, int]) -> Rle:
    """The mask of an annotation, with counts as COCO's string; pycocotools' C code can take it as it is.

    Args:
        annotation: Entry of the file.
        size: Height and width of its image.

    Raises:
        RecordError: The mask cannot be used.
    """
    runs = RleMasks([encode_segmentation(annotation["segmentation"], size)], size).runs(0)
    return Rle(size=list(size), counts=compress_counts(_count(runs)))


def _count(runs: Runs) -> list[int]:
    """Lengths of the runs, background first."""
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    counts = np.diff(edges, prepend=0, append=runs.size[0] * runs.size[1]).tolist()
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]


def _is_among(id_: Any, ids: Collection[Any]) -> bool:
    return isinstance(id_, Hashable) and id_ in ids
