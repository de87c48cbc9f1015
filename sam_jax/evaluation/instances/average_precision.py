"""AP of masks as COCO and LVIS define it, computed by pycocotools for COCO and by faster-coco-eval for LVIS."""

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sam_jax.data.coco_file import CocoAnnotations
from sam_jax.evaluation.coco_truth import encode_object, is_lvis
from sam_jax.types import InputError

COCO_NAMES = ("AP", "AP50", "AP75", "small", "medium", "large")
"""Names of COCO's measures, in the order of pycocotools."""

LVIS_NAMES = {
    "AP": "AP_all",
    "AP50": "AP_50",
    "AP75": "AP_75",
    "small": "AP_small",
    "medium": "AP_medium",
    "large": "AP_large",
    "rare": "APr",
    "common": "APc",
    "frequent": "APf",
}
"""Names of LVIS' measures, and what faster-coco-eval calls them."""

LVIS_MOST = 300
"""Detections of an image, over all categories, that count for LVIS."""


def average_precisions(
    truth: CocoAnnotations, results: Sequence[dict[str, Any]], image_ids: Sequence[Any]
) -> dict[str, float | None]:
    """AP by the mean of IoU thresholds 0.5 to 0.95, at 0.5 and 0.75, by area, and for LVIS by frequency.

    Args:
        truth: Truth of the data set. LVIS' rules hold if `is_lvis`, else COCO's.
        results: Detections with `image_id`, `category_id`, `score`, and `segmentation` with counts as COCO's string.
        image_ids: Ids of the images to measure on; there must be no results for other images.

    Returns:
        Values from 0 to 1 by name; None where there is no truth of that kind.

    Raises:
        InputError: There are no images, or some that the truth doesn't have; or a mask has another size than its image.
    """
    truth, results, image_ids = _number_ids(truth, results, image_ids)
    truth_document = _select(truth, image_ids)
    result_document = {**truth_document, "annotations": _describe_results(truth_document, results)}
    measure = _measure_lvis if is_lvis(truth) else _measure_coco
    # Both libraries write into what they are given.
    return {
        name: None if value < 0 else float(value)
        for name, value in measure(truth_document, result_document).items()
    }


def _number_ids(
    truth: CocoAnnotations, results: Sequence[dict[str, Any]], image_ids: Sequence[Any]
) -> tuple[CocoAnnotations, Sequence[dict[str, Any]], Sequence[Any]]:
    """The same with numbers in place of ids that are texts, which the libraries sort and compare."""
    images, categories = (
        [entry["id"] for entry in entries] for entries in (truth.images, truth.categories)
    )
    if all(isinstance(own, int) for own in (*images, *categories)):
        return truth, results, image_ids
    of_image = {own: number for number, own in enumerate(images, start=1)}
    of_category = {own: number for number, own in enumerate(categories, start=1)}
    ids: dict[str, Callable[[Any], Any]] = {
        "image_id": of_image.get,
        "category_id": of_category.get,
        "neg_category_ids": lambda some: [of_category.get(one) for one in some],
        "not_exhaustive_category_ids": lambda some: [of_category.get(one) for one in some],
    }

    def number(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {key: ids[key](entry[key]) for key in ids if key in entry}

    numbered = truth._replace(
        images=[number(image) | {"id": of_image[image["id"]]} for image in truth.images],
        annotations=[number(annotation) for annotation in truth.annotations],
        categories=[
            category | {"id": of_category[category["id"]]} for category in truth.categories
        ],
    )
    return (
        numbered,
        [number(result) for result in results],
        [of_image.get(one) for one in image_ids],
    )


def _select(truth: CocoAnnotations, image_ids: Sequence[int]) -> dict[str, Any]:
    """The part of the truth that is about some images, copied so that it may be changed."""
    wanted = set(image_ids)
    images = [dict(image) for image in truth.images if image["id"] in wanted]
    if not images or len(images) != len(wanted):
        raise InputError(
            f"{truth.path} has {len(images)} of the {len(wanted)} images that were measured; "
            "give the file of truth that they were measured with"
        )
    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    annotations = [
        # Numbered anew because both libraries take a match with number 0 for none.
        _describe_truth(annotation, sizes[annotation["image_id"]]) | {"id": number + 1}
        for number, annotation in enumerate(truth.annotations)
        if annotation["image_id"] in wanted
    ]
    return {"images": images, "annotations": annotations, "categories": list(truth.categories)}


def _describe_truth(annotation: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """An annotation whose mask the libraries' C code can take; its area is that of the mask if the file has none."""
    from pycocotools import mask as coco_mask

    rle: Any = encode_object(annotation, size)
    return {"iscrowd": 0, "area": float(coco_mask.area(rle)), **annotation, "segmentation": rle}


def _describe_results(
    truth_document: dict[str, Any], results: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Detections as annotations, with the areas of their masks."""
    from pycocotools import mask as coco_mask

    sizes = {image["id"]: [image["height"], image["width"]] for image in truth_document["images"]}
    annotations = []
    for number, result in enumerate(results):
        rle = result["segmentation"]
        size = sizes.get(result["image_id"])
        if size is None or list(rle["size"]) != size:
            raise InputError(
                f"a mask of image {result['image_id']} has (height, width) {rle['size']}, "
                f"but the truth says {size}; measure against the file that it was made with"
            )
        area = float(coco_mask.area(rle))
        annotations.append({**result, "id": number + 1, "area": area, "iscrowd": 0})
    return annotations


def _measure_coco(truth: dict[str, Any], results: dict[str, Any]) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for document in (truth, results):
            side: Any = COCO()
            side.dataset = document
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType="segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_NAMES, evaluation.stats, strict=False))


def _measure_lvis(truth: dict[str, Any], results: dict[str, Any]) -> dict[str, float]:
    from faster_coco_eval import COCO, COCOeval_faster

    found = _keep_searched(truth, _keep_best(results["annotations"], LVIS_MOST))
    evaluation = COCOeval_faster(
        COCO(truth), COCO({**results, "annotations": found}), "segm", lvis_style=True
    )
    evaluation.params.maxDets = [LVIS_MOST]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = evaluation.stats_as_dict
    return {name: values[theirs] for name, theirs in LVIS_NAMES.items()}


def _keep_best(annotations: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The detections of highest score in every image; of equal ones the first."""
    by_image = defaultdict(list)
    for annotation in sorted(annotations, key=lambda a: -a["score"]):
        by_image[annotation["image_id"]].append(annotation)
    return [annotation for some in by_image.values() for annotation in some[:most]]


def _keep_searched(
    truth: dict[str, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Detections whose category their image was searched for: categories that it has, or is known not to have.

    The library leaves the others out too, but fails on an image that has no other detections.
    """
    searched = {
        (image["id"], category)
        for image in truth["images"]
        for category in image["neg_category_ids"]
    }
    searched |= {(a["image_id"], a["category_id"]) for a in truth["annotations"]}
    return [a for a in annotations if (a["image_id"], a["category_id"]) in searched]
