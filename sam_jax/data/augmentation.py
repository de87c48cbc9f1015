"""How photos are varied in training, and the draws that say how this one is."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sam_jax.ops.luma import LUMA
from sam_jax.ops.resize import fit_size
from sam_jax.types import InputError

LARGE_SCALE_JITTER = (0.1, 2.0)
"""The range for `Augmentation.scale` with little data (App. A)."""

HUE_DEGREES = 36
"""Largest turn of the hue at a colour jitter of 1."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may happen to a photo and its masks; by default nothing, as on SA-1B (App. A)."""

    flip_horizontally: bool = False
    """Half of the photos are mirrored."""
    flip_vertically: bool = False
    """Half are turned upside down: for micrographs, which have no up."""
    transpose: bool = False
    """Half have rows and columns exchanged: likewise."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Large-scale jitter: a photo's size, drawn uniformly, over the one that just fits; larger ones are cropped."""
    colour: float = 0.0
    """Brightness, contrast and saturation change by up to this share, the hue by up to this times 36 degrees."""
    min_cells: int = 1
    """Masks of fewer cells of the truth, 4x4 pixels of the frame each, are left out."""
    area_power: float = 0.0
    """A mask's chance to be drawn goes as its area to this power; with 0, small ones are as likely as large ones."""

    def __post_init__(self) -> None:
        smallest, largest = self.scale
        if not 0 < smallest <= largest:
            raise InputError(
                f"scale {smallest:g} to {largest:g}: give two positive numbers, the smaller first, like 0.1 2.0"
            )
        if not 0 <= self.colour < 1:
            raise InputError(f"colour {self.colour:g}: give a number from 0 (none) to below 1")
        if self.min_cells < 1:
            raise InputError(f"min_cells {self.min_cells}: give a whole number from 1")
        if self.area_power < 0:
            raise InputError(f"area_power {self.area_power:g}: give 0 (all masks alike) or more")


MICROGRAPHS = Augmentation(
    flip_horizontally=True,
    flip_vertically=True,
    transpose=True,
    scale=LARGE_SCALE_JITTER,
    colour=0.4,
)
"""For pictures without up or down."""

PHOTOS = Augmentation(flip_horizontally=True, scale=LARGE_SCALE_JITTER, colour=0.4)
"""For small sets of photos."""


class Placement(NamedTuple):
    """Which part of a photo is shown, and how it lies in the frame.

    Attributes:
        box: x0, y0, x1, y1 of the part, in pixels of the photo.
        flip_x: whether it is mirrored.
        flip_y: whether it is upside down.
        transpose: whether rows and columns are exchanged, after the flips.
        fitted: (h, w) that it fills in the frame, from the upper left corner.
        frame: (h, w) of the model's input.
    """

    box: tuple[float, float, float, float]
    flip_x: bool
    flip_y: bool
    transpose: bool
    fitted: tuple[int, int]
    frame: tuple[int, int]


def place_whole(size: tuple[int, int], frame: tuple[int, int]) -> Placement:
    """Show a photo of a size (h, w) whole and as it is, as large as fits.

    Raises:
        InputError: it is so thin that a side would vanish.
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
    """Draw flips, scale, and what is cropped away.

    Raises:
        InputError: a photo of this size is so thin that a side would vanish.
    """
    coins = rng.random(3) < 0.5
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


def draw_colours(
    augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "3 3"], float]:
    """Draw a linear change of colours: a matrix for (r, g, b), and how much of the photo's mean brightness to add.

    Saturation scales colours away from their brightness, hue turns them about the axis of greys, contrast scales
    them away from the photo's mean brightness, and brightness scales everything.
    """
    by = rng.uniform(-1, 1, 4) * augmentation.colour
    brightness, contrast, saturation = 1 + by[:3]
    angle = np.deg2rad(HUE_DEGREES) * by[3]
    turn_axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.eye(3) + np.sin(angle) * turn_axis + (1 - np.cos(angle)) * turn_axis @ turn_axis
    saturate = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), LUMA)
    return brightness * contrast * turn @ saturate, brightness * (1 - contrast)
