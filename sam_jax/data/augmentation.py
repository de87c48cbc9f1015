"""Data augmentation: its settings, and the random draws for one photo."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sam_jax.ops.arguments import check_finite
from sam_jax.ops.luma import LUMA
from sam_jax.ops.resize import fit_size
from sam_jax.types import InputError

LARGE_SCALE_JITTER = (0.1, 2.0)
"""The range of `Augmentation.scale` for small data sets (SAM, appendix A)."""

CROP_PROPORTIONS = (3 / 4, 4 / 3)
"""Range of width over height of a random crop."""

CROP_TRIES = 10
"""Number of rectangles that are drawn for a random crop, of which the first that fits is taken."""

HUE_DEGREES = 36
"""Largest rotation of the hue, in degrees, at a colour jitter of 1."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Settings of data augmentation; the default is none, as for SA-1B (SAM, appendix A).

    Attributes:
        flip_horizontally: Whether half of the photos are mirrored.
        flip_vertically: Whether half of the photos are turned upside down, for images that have no up or down.
        transpose: Whether rows and columns of half of the photos are exchanged, for images that have no up or down.
        scale: Range of large-scale jitter. The size of a photo over the size that just fits into the frame is drawn
            uniformly from it; what is larger than the frame is cropped.
        crop_area: Range of the share of the photo's area that is shown, as a rectangle of random place and proportions,
            from 3:4 to 4:3, which is stretched to the frame and in place of `scale`; None for no such crop.
        colour: Strength of colour jitter, from 0 to below 1. Brightness, contrast and saturation change by up to this
            share, the hue by up to this times 36 degrees.
        min_cells: Smallest mask that is used, in cells of 4×4 pixels of the frame.
        area_power: Exponent of a mask's area in its chance to be drawn; with 0, all masks are equally likely.
    """

    flip_horizontally: bool = False
    flip_vertically: bool = False
    transpose: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    crop_area: tuple[float, float] | None = None
    colour: float = 0.0
    min_cells: int = 1
    area_power: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self)
        smallest, largest = self.scale
        if not 0 < smallest <= largest:
            raise InputError(
                f"scale {smallest:g} to {largest:g}: give two positive numbers, the smaller first, like 0.1 2.0"
            )
        if self.crop_area is not None:
            least, most = self.crop_area
            if not 0 < least <= most <= 1:
                raise InputError(
                    f"crop_area {least:g} to {most:g}: give two shares up to 1, the smaller first, like 0.2 1.0"
                )
            if self.scale != (1.0, 1.0):
                raise InputError("crop_area takes the place of scale: set one of them")
        if not 0 <= self.colour < 1:
            raise InputError(f"colour {self.colour:g}: give a number from 0 (none) to below 1")
        if self.min_cells < 1:
            raise InputError(f"min_cells {self.min_cells}: give a whole number from 1")
        if self.area_power < 0:
            raise InputError(
                f"area_power {self.area_power:g}: give 0 (all masks are equally likely) or more"
            )


PRETRAINING = Augmentation(flip_horizontally=True, crop_area=(0.2, 1.0))
"""Augmentation for learning without masks ([MAE](https://arxiv.org/abs/2111.06377), appendix A.1)."""

MICROGRAPHS = Augmentation(
    flip_horizontally=True,
    flip_vertically=True,
    transpose=True,
    scale=LARGE_SCALE_JITTER,
    colour=0.4,
)
"""Augmentation for micrographs and other images that have no up or down."""

PHOTOS = Augmentation(flip_horizontally=True, scale=LARGE_SCALE_JITTER, colour=0.4)
"""Augmentation for small data sets of photos."""


class Placement(NamedTuple):
    """The part of a photo that is shown, and how it lies in the frame.

    Attributes:
        box: The corners x0, y0, x1, y1 of the part, in pixels of the photo.
        flip_x: Whether the part is mirrored.
        flip_y: Whether the part is upside down.
        transpose: Whether rows and columns are exchanged, after the flips.
        fitted: The size (h, w) that the part fills in the frame, from the upper left corner.
        frame: The size (h, w) of the model's input.
    """

    box: tuple[float, float, float, float]
    flip_x: bool
    flip_y: bool
    transpose: bool
    fitted: tuple[int, int]
    frame: tuple[int, int]


def place_whole(size: tuple[int, int], frame: tuple[int, int]) -> Placement:
    """Place a whole photo without augmentation, as large as fits.

    Args:
        size: The size (h, w) of the photo in pixels.
        frame: The size (h, w) of the model's input.

    Raises:
        InputError: The photo is so thin that a side would vanish.
    """
    return Placement(
        (0.0, 0.0, float(size[1]), float(size[0])),
        False,
        False,
        False,
        fit_size(*size, frame),
        frame,
    )


def draw_placement(
    size: tuple[int, int],
    frame: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Placement:
    """Draw flips, scale and crop of a photo.

    Args:
        size: The size (h, w) of the photo in pixels.
        frame: The size (h, w) of the model's input.
        augmentation: Settings of data augmentation.
        rng: Source of all draws.

    Raises:
        InputError: The photo is so thin that a side would vanish.
    """
    coins = rng.random(3) < 0.5
    if augmentation.crop_area is not None:
        transpose = bool(augmentation.transpose and coins[2])
        return Placement(
            _draw_crop(size, augmentation.crop_area, rng),
            bool(augmentation.flip_horizontally and coins[0]),
            bool(augmentation.flip_vertically and coins[1]),
            transpose,
            frame,
            frame,
        )
    scale = rng.uniform(*augmentation.scale)
    corner_y, corner_x = rng.random(2)
    transpose = bool(augmentation.transpose and coins[2])
    height, width = size
    whole = fit_size(width, height, frame) if transpose else fit_size(height, width, frame)
    scaled_height, scaled_width = (max(1, round(side * scale)) for side in whole)
    fitted = (min(scaled_height, frame[0]), min(scaled_width, frame[1]))
    top = int(corner_y * (scaled_height - fitted[0] + 1))
    left = int(corner_x * (scaled_width - fitted[1] + 1))
    rows = (top, top + fitted[0], scaled_height)
    columns = (left, left + fitted[1], scaled_width)
    if transpose:
        rows, columns = columns, rows
    (y0, y1, all_y), (x0, x1, all_x) = rows, columns
    return Placement(
        (x0 * width / all_x, y0 * height / all_y, x1 * width / all_x, y1 * height / all_y),
        bool(augmentation.flip_horizontally and coins[0]),
        bool(augmentation.flip_vertically and coins[1]),
        transpose,
        fitted,
        frame,
    )


def _draw_crop(
    size: tuple[int, int], area: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """The corners of a rectangle of whole pixels, by the rule of torchvision's `RandomResizedCrop`.

    Of ten rectangles the first that fits into the photo is taken. If none fits, it is the largest one in the middle.
    """
    height, width = size
    areas = height * width * rng.uniform(*area, CROP_TRIES)
    low, high = CROP_PROPORTIONS
    proportions = np.exp(rng.uniform(math.log(low), math.log(high), CROP_TRIES))
    places = rng.random((CROP_TRIES, 2))
    columns = np.round(np.sqrt(areas * proportions)).astype(int)
    rows = np.round(np.sqrt(areas / proportions)).astype(int)
    for r, c, (y, x) in zip(rows.tolist(), columns.tolist(), places.tolist(), strict=True):
        if 0 < r <= height and 0 < c <= width:
            top, left = int(y * (height - r + 1)), int(x * (width - c + 1))
            return float(left), float(top), float(left + c), float(top + r)
    c = min(width, round(height * high))
    r = min(height, round(width / low))
    top, left = (height - r) // 2, (width - c) // 2
    return float(left), float(top), float(left + c), float(top + r)


def draw_colours(
    augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "3 3"], float]:
    """Draw a linear change of colours.

    Saturation scales colours away from their luma, hue rotates them about the axis of greys, contrast scales them away
    from the photo's mean luma, and brightness scales everything.

    Args:
        augmentation: Settings of data augmentation, of which `colour` counts.
        rng: Source of all draws.

    Returns:
        The matrix for (r, g, b), and the share of the photo's mean luma to add to each channel.
    """
    by = rng.uniform(-1, 1, 4) * augmentation.colour
    brightness, contrast, saturation = 1 + by[:3]
    angle = np.deg2rad(HUE_DEGREES) * by[3]
    turn_axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.eye(3) + np.sin(angle) * turn_axis + (1 - np.cos(angle)) * turn_axis @ turn_axis
    saturate = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), LUMA)
    return brightness * contrast * turn @ saturate, brightness * (1 - contrast)
