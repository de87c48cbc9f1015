"""Grids of points, and overlapping crops of an image, for automatic masks (SAM, appendix B)."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from sam_jax.types import InputError

MOST_POINTS_PER_SIDE = 1024
"""Of a grid; a million points take hours."""
MOST_LAYERS = 6
"""Of crops; they are 5461 then, and those of the last one a hundredth of the image's side."""
NEAR = 20.0
"""Distance from a crop's edge, in pixels, within which a mask counts as cut."""


class Crop(NamedTuple):
    """A part of an image.

    Attributes:
        box: Coordinates x0, y0, x1, y1 in pixels; x1 and y1 are outside.
        layer: Number of the layer: 0 for the whole image, 1 for crops of about half its side, 2 for a quarter, ...
    """

    box: tuple[int, int, int, int]
    layer: int


def plan_crops(image_size: tuple[int, int], layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image, and 2ⁱ × 2ⁱ overlapping crops for each layer i.

    Args:
        image_size: Height and width of the image in pixels.
        layers: Number of layers beyond the whole image.
        overlap_ratio: Overlap of two neighbours in the first layer, as a share of the image's shorter side. It is
            halved from layer to layer.

    Raises:
        InputError: There are too many layers.
    """
    if layers > MOST_LAYERS:
        raise InputError(f"crop_n_layers {layers} is more than {MOST_LAYERS}")
    height, width = image_size
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(image_size) * (2 / count))
        crop_width, crop_height = (
            math.ceil((overlap * (count - 1) + side) / count) for side in (width, height)
        )
        lefts, tops = (
            [(side - overlap) * index for index in range(count)]
            for side in (crop_width, crop_height)
        )
        crops += [
            Crop((x, y, min(x + crop_width, width), min(y + crop_height, height)), layer)
            for x, y in itertools.product(lefts, tops)
        ]
    return crops


def make_point_grid(points_per_side: int) -> Float[np.ndarray, "n 2"]:
    """An even grid of points x, y in the unit square, row by row.

    Raises:
        InputError: There are too many points.
    """
    if points_per_side > MOST_POINTS_PER_SIDE:
        raise InputError(f"points_per_side {points_per_side} is more than {MOST_POINTS_PER_SIDE}")
    side = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def near_crop_edge(
    boxes: Shaped[np.ndarray, "n 4"], crop: Crop, image_size: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Which boxes come near an edge of the crop that isn't an edge of the image.

    Args:
        boxes: Boxes x0, y0, x1, y1 in pixels of the image.
        crop: Crop in which the boxes were found.
        image_size: Height and width of the image in pixels.
    """
    height, width = image_size
    near_crop, near_image = (
        np.abs(boxes - np.array(edges)) <= NEAR for edges in (crop.box, (0, 0, width, height))
    )
    return np.any(near_crop & ~near_image, axis=1)
