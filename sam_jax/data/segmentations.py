"""COCO's segmentations, polygons or run lengths, checked before any of them reaches the C code of pycocotools."""

import math
from itertools import chain
from typing import Any, cast

import numpy as np

from sam_jax.data.example import RecordError
from sam_jax.ops.rle import Rle

TRIANGLE_NUMBERS = 6
"""The fewest numbers (x, y of each corner) of a polygon that encloses anything."""

LARGEST_COORDINATE = 1 << 20
"""In pixels: no photo has a side as long."""

LONGEST_OUTLINE = 1 << 21
"""Length in pixels of the longest outline that is drawn; pycocotools takes a hundred bytes for each pixel of it."""


def find_problem(segmentation: Any) -> str | None:
    """What is wrong with an annotation's segmentation as far as that shows without drawing it; None for nothing."""
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if not isinstance(counts, list | str) or not isinstance(size, list):
            return "a `segmentation` with run lengths needs `size` and `counts`"
        return None
    try:
        # The common form, polygons of numbers, a hundred times faster than through `read_polygons`.
        if all(
            min(polygon, default=0) >= -LARGEST_COORDINATE
            and max(polygon, default=0) <= LARGEST_COORDINATE
            and math.isfinite(sum(polygon))
            and len(polygon) % 2 == 0
            and len(polygon) != 2
            for polygon in segmentation
        ):
            return None
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        read_polygons(segmentation)
    except RecordError as error:
        return str(error)
    return None


def read_polygons(segmentation: Any) -> list[list[float]]:
    """The polygons of a segmentation, each as x, y, x, y, ...

    COCO has a list of such lists. Other tools also write one such list alone, or corners as pairs.

    Raises:
        RecordError: The segmentation is something else, or a coordinate is not finite or beyond any photo.
    """
    if not isinstance(segmentation, list):
        raise RecordError("a `segmentation` is neither polygons nor run-length encoded")
    if segmentation and (not isinstance(segmentation[0], list) or _has_pairs(segmentation)):
        segmentation = [segmentation]
    polygons = []
    for polygon in segmentation:
        try:
            numbers = list(
                map(float, chain.from_iterable(polygon) if _has_pairs(polygon) else polygon)
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise RecordError(
                f"a `segmentation` is neither polygons nor run-length encoded: {error}"
            ) from error
        if not all(abs(number) <= LARGEST_COORDINATE for number in numbers):
            raise RecordError("a polygon has a coordinate that is not finite, or beyond any photo")
        if len(numbers) % 2:
            raise RecordError("a polygon has an x without a y")
        polygons.append(numbers)
    return polygons


def encode_segmentation(segmentation: Any, size: tuple[int, int]) -> Rle:
    """The `segmentation` of an annotation, polygons or run lengths, as run lengths; both as COCO's tools draw them.

    Args:
        segmentation: Polygons in pixels, not checked yet; or run lengths, returned as they are.
        size: Height and width of the photo.

    Raises:
        RecordError: The segmentation is neither, or a polygon cannot be drawn.
    """
    if isinstance(segmentation, dict):
        return cast(Rle, segmentation)
    # Imported here because only polygons need it.
    from pycocotools import mask as coco_mask

    height, width = size
    polygons: Any = [
        polygon for polygon in read_polygons(segmentation) if len(polygon) >= TRIANGLE_NUMBERS
    ]
    if not polygons:
        return Rle(size=[height, width], counts=[height * width])
    if sum(map(_measure_outline, polygons)) > LONGEST_OUTLINE:
        raise RecordError(f"the outline of a polygon is longer than {LONGEST_OUTLINE} pixels")
    try:
        union: Any = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    except Exception as error:  # it raises bare Exceptions
        raise RecordError(f"a polygon cannot be drawn: {error}") from error
    return Rle(size=[height, width], counts=union["counts"].decode("ascii"))


def _has_pairs(polygon: Any) -> bool:
    """Whether a list holds corners as pairs of numbers."""
    return isinstance(polygon, list) and all(
        isinstance(corner, list)
        and len(corner) == 2
        and not any(isinstance(number, list) for number in corner)
        for corner in polygon
    )


def _measure_outline(polygon: list[float]) -> float:
    """The length of a closed polygon by the longer of both coordinates, as pycocotools counts its steps."""
    corners = np.array(polygon).reshape(-1, 2)
    return float(np.abs(np.diff(corners, axis=0, append=corners[:1])).max(axis=1).sum())
