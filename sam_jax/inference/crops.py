"""Grids of points, and overlapping crops of an image, for automatic masks (SAM, appendix B)."""

import contextlib
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from sam_jax.ops.arguments import check_count
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


def make_grids(
    points_per_side: int | None, point_grids: Sequence[Any] | None, layers: int, factor: float | int
) -> list[Float[np.ndarray, "_n 2"]]:
    """Grids of points for the whole image and each layer of crops: even ones, or those that are given, checked.

    Args:
        points_per_side: Points along each side of the grid of the whole image; None where grids are given.
        point_grids: Arrays of points x, y in the unit square, one for each layer.
        layers: Number of layers beyond the whole image.
        factor: Factor by which the even grids become coarser from one layer to the next.

    Raises:
        InputError: Both or neither are given, or a layer has no points.
    """
    if (points_per_side is None) == (point_grids is None):
        raise InputError("give points_per_side or point_grids, and not both")
    if points_per_side is not None:
        check_count("points_per_side", points_per_side, least=1)
        if points_per_side > MOST_POINTS_PER_SIDE:
            raise InputError(
                f"points_per_side {points_per_side} is more than {MOST_POINTS_PER_SIDE}"
            )
        sides = (int(points_per_side / factor**layer) for layer in range(layers + 1))
        point_grids = [make_point_grid(side) for side in sides]
    grids = [_read_grid(grid) for grid in point_grids or ()]
    if len(grids) <= layers:
        raise InputError(
            f"{layers} layers of crops need {layers + 1} point_grids, not {len(grids)}"
        )
    if not all(len(grid) for grid in grids):
        raise InputError(
            "every layer needs points: raise points_per_side, or lower crop_n_layers or "
            "crop_n_points_downscale_factor"
        )
    return grids


def _read_grid(given: Any) -> Float[np.ndarray, "n 2"]:
    with contextlib.suppress(TypeError, ValueError):
        grid = np.asarray(given, np.float64)
        if grid.size == 0:  # of a layer without points, which has a message of its own
            return np.zeros((0, 2))
        if grid.ndim == 2 and grid.shape[1] == 2 and ((grid >= 0) & (grid <= 1)).all():
            return grid
    raise InputError("point_grids are arrays of points x, y from 0 to 1, of shape (n, 2)")


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
