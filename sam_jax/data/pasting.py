"""Copy-paste augmentation (Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177): objects cut out of other photos.

An object is then seen in front of many backgrounds and at many sizes, which tells what belongs to it from what
surrounds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from sam_jax.data.augmentation import Augmentation, draw_colours
from sam_jax.data.example import Example, Masks, Source, mask_runs
from sam_jax.data.pixel_runs import Runs, draw_runs, find_runs
from sam_jax.data.transforms import change_colours
from sam_jax.ops.arguments import check_finite
from sam_jax.types import InputError

MOST_OBJECTS = 4
"""Largest number of objects pasted into a photo; the smallest is one."""
COLOUR = 0.3
"""Strength of the colour jitter of each pasted object, as for `Augmentation.colour`."""
SMALLEST_CUT = 400
"""Smallest area of an object in its own photo, in pixels; smaller ones have no texture to show."""
MARGIN = 3
"""Width of the rim that is cut out around an object, in pixels; its edge is soft."""
LARGEST_GROWTH = 2.5
"""Largest factor by which an object is enlarged."""
LEAST_WITHIN = 0.95
"""Smallest share of a mask that lies in an object's mask if it is the mask of a part of the object."""
NEXT_OF_GROUP = (0.4, 1.0)
"""Range of the sizes of the later objects of a group over the size of the first."""
LEAST_SEEN = 0.3
"""Smallest visible share of an object that has a mask; the rest is covered, or cut off by the photo's sides."""


@dataclass(frozen=True, kw_only=True)
class Pasting:
    """Settings of copy-paste augmentation: one to four objects for each photo, later ones in front.

    Attributes:
        path: Data set of the objects, in any form that `sam_jax.data.sources` knows. Each of its masks is one.
        sizes: Range of an object's longer side over the photo's shorter side; its logarithm is drawn uniformly.
        area_power: Exponent of an object's area in its chance to be chosen among those of its photo; with 0, parts are
            as likely as wholes.
        together: Share of photos in which pasted objects stand over each other, like rider and horse, and have one mask
            together beside their own.
        turn: Largest rotation of an object in degrees, in either direction. What its photo cuts off is not rotated.
        stretch: Largest factor by which the aspect ratio of an object changes, in either direction.
    """

    path: str
    sizes: tuple[float, float] = (0.15, 0.9)
    area_power: float = 0.0
    together: float = 0.0
    turn: float = 0.0
    stretch: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self)
        smallest, largest = self.sizes
        if not 0 < smallest <= largest:
            raise InputError(
                f"sizes {smallest:g} to {largest:g}: give two positive numbers, the smaller first, like 0.15 0.9"
            )
        if self.area_power < 0:
            raise InputError(
                f"area_power {self.area_power:g}: give 0 (all objects are equally likely) or more"
            )
        if not 0 <= self.together <= 1:
            raise InputError(f"together {self.together:g}: give a share from 0 (never) to 1")
        if not 0 <= self.turn <= 180:
            raise InputError(f"turn {self.turn:g}: give degrees from 0 (none) to 180")
        if self.stretch < 1:
            raise InputError(f"stretch {self.stretch:g}: give a factor from 1 (none)")


class Paster:
    """Copy-paste augmentation with the objects of one data set.

    Args:
        objects: Data set of photos and the masks of the objects in them.
        pasting: Settings of copy-paste augmentation.

    Raises:
        InputError: The data set is empty.
    """

    def __init__(self, objects: Source, pasting: Pasting) -> None:
        if len(objects) == 0:
            raise InputError(f"{objects.name} is empty: there is nothing to paste")
        self.objects = objects
        self.pasting = pasting

    def paste(self, example: Example, rng: np.random.Generator) -> Example:
        """Paste objects into a photo. Its own masks lose what is covered; those of the objects come first.

        An object that its own photo cuts off at a side is placed at that side here, too.

        Args:
            example: The photo and its masks.
            rng: Source of all draws; the result depends on nothing else.

        Raises:
            RecordError: A photo of the data set of objects cannot be used.
        """
        image = example.image.copy()
        owner = np.zeros(image.shape[:2], np.uint16)
        together = rng.random() < self.pasting.together
        placed: list[_Placed] = []
        for _ in range(int(rng.integers(1, MOST_OBJECTS + 1))):
            photo = self.objects[int(rng.integers(len(self.objects)))]
            before = placed[-1] if together and placed else None
            cut = _cut_object(photo, self.pasting.area_power, before is None, rng)
            if cut is None:
                continue
            if before is None:
                thing = self._place(cut, self._draw_size(image, rng), None, image, rng)
            else:
                size = rng.uniform(*NEXT_OF_GROUP) * placed[0].size
                thing = self._place(cut, size, before, image, rng)
            if not thing.masks[0].any():
                continue
            placed.append(thing)
            owner[thing.window][thing.masks[0]] = len(placed)
        masks: list[Bool[np.ndarray, "h w"]] = []
        visible_objects = 0
        for number, thing in enumerate(placed, 1):
            seen = owner[thing.window] == number
            if np.count_nonzero(seen) < LEAST_SEEN * thing.area:
                continue
            visible_objects += 1
            for part in thing.masks:
                mask = np.zeros(owner.shape, bool)
                mask[thing.window] = part & seen
                masks.append(mask)
        if together and visible_objects > 1:
            masks.insert(0, owner > 0)
        below = _PastedMasks(masks, example.masks, owner > 0)
        return Example(example.name, image, below, example.notes)

    def _draw_size(self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> float:
        """Draw the length of an object's longer side in pixels."""
        smallest, largest = np.log(self.pasting.sizes)
        return float(np.exp(rng.uniform(smallest, largest))) * min(image.shape[:2])

    def _place(
        self,
        cut: "_Cut",
        longer_side: float,
        before: "_Placed | None",
        image: UInt8[np.ndarray, "h w 3"],
        rng: np.random.Generator,
    ) -> "_Placed":
        """Draw an object into a photo, anywhere or over the one before."""
        cut = _turn(cut, float(rng.uniform(-self.pasting.turn, self.pasting.turn)))
        stretch = float(self.pasting.stretch ** rng.uniform(-0.5, 0.5))
        extents = (stretch * _extent(cut.masks[0], 0), _extent(cut.masks[0], 1) / stretch)
        growth = min(longer_side / max(extents), LARGEST_GROWTH)
        height, width = cut.masks[0].shape
        size = (max(1, round(width * growth * stretch)), max(1, round(height * growth / stretch)))
        colours = draw_colours(Augmentation(colour=COLOUR), rng)
        photo = Image.fromarray(cut.image).resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(change_colours(photo, colours))
        softness = float(rng.uniform(0.3, 1.0))
        covers = [_resize_mask(mask, size, softness) for mask in cut.masks]
        top, left, bottom, right = cut.at_sides
        if rng.random() < 0.5:
            pixels, covers = pixels[:, ::-1], [cover[:, ::-1] for cover in covers]
            left, right = right, left
        if before is None:
            corner = [
                _draw_offset(rng, image.shape[0], pixels.shape[0], top, bottom),
                _draw_offset(rng, image.shape[1], pixels.shape[1], left, right),
            ]
        else:
            corner = _draw_corner_over(before, pixels.shape, rng)
        here = [max(0, start) for start in corner]
        stop = [
            min(side, start + extent)
            for side, start, extent in zip(image.shape[:2], corner, pixels.shape[:2], strict=True)
        ]
        window = (slice(here[0], stop[0]), slice(here[1], stop[1]))
        part = tuple(
            slice(a - start, b - start) for a, b, start in zip(here, stop, corner, strict=True)
        )
        # The rim of what was cut shows what it stood in front of: less of it than half.
        alpha = np.clip(1.5 * covers[0][part] - 0.5, 0, 1)[..., None]
        view = image[window]
        view[:] = np.rint(view + alpha * (pixels[part].astype(np.float32) - view)).astype(np.uint8)
        masks = [cover[part] >= 0.5 for cover in covers]
        area = int(np.count_nonzero(covers[0] >= 0.5))
        return _Placed(window, masks, area, max(extents) * growth)


class _Cut(NamedTuple):
    """An object's bounding box in its own photo, with a margin.

    Attributes:
        image: All pixels of the box.
        masks: Masks of the object, then of its parts.
        at_sides: Whether the object reaches the photo's top, left, bottom and right.
    """

    image: UInt8[np.ndarray, "h w 3"]
    masks: list[Bool[np.ndarray, "h w"]]
    at_sides: tuple[bool, bool, bool, bool]


class _Placed(NamedTuple):
    """An object in its new photo.

    Attributes:
        window: Rows and columns of the photo that the object lies in.
        masks: Masks of the object, then of its parts, inside the window.
        area: Area of the object in pixels, with what the photo's sides cut off.
        size: Length of the object's longer side in pixels, with what the photo's sides cut off.
    """

    window: tuple[slice, slice]
    masks: list[Bool[np.ndarray, "h w"]]
    area: int
    size: float


class _PastedMasks:
    """Masks of pasted objects, then those of the photo without what the objects cover."""

    def __init__(
        self,
        pasted: Sequence[Bool[np.ndarray, "h w"]],
        below: Masks,
        cover: Bool[np.ndarray, "h w"],
    ) -> None:
        self._pasted = [find_runs(mask) for mask in pasted]
        self._below = below
        self._cover = cover

    def __len__(self) -> int:
        return len(self._pasted) + len(self._below)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        if index < len(self._pasted):
            return draw_runs(self._pasted[index])
        return self._below[index - len(self._pasted)] & ~self._cover

    def runs(self, index: int) -> Runs:
        """The runs of a mask, as `HasRuns` wants them."""
        return self._pasted[index] if index < len(self._pasted) else find_runs(self[index])


def _cut_object(
    example: Example, area_power: float, may_be_cut_off: bool, rng: np.random.Generator
) -> _Cut | None:
    """Cut out one of a photo's objects that is large enough and does not reach from side to side, if there is one."""
    areas = [mask_runs(example.masks, k).area for k in range(len(example.masks))]
    # Adding Gumbel noise to log-weights and sorting draws without replacement (Vieira 2014).
    order = np.argsort(-(area_power * np.log(np.maximum(areas, 1)) + rng.gumbel(size=len(areas))))
    for index in order.tolist():
        runs = mask_runs(example.masks, index)
        if runs.area < SMALLEST_CUT:
            continue
        mask = draw_runs(runs)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = rows[0] == 0, columns[0] == 0
        bottom, right = rows[-1] == mask.shape[0] - 1, columns[-1] == mask.shape[1] - 1
        if (top and bottom) or (left and right):
            continue
        if (top or bottom or left or right) and not may_be_cut_off:
            continue
        box = (
            slice(max(0, rows[0] - MARGIN), rows[-1] + 1 + MARGIN),
            slice(max(0, columns[0] - MARGIN), columns[-1] + 1 + MARGIN),
        )
        others = (example.masks[k] for k in range(len(example.masks)) if k != index)
        parts = [
            other[box]
            for other in others
            if np.count_nonzero(other & mask) >= max(1, LEAST_WITHIN * np.count_nonzero(other))
        ]
        sides = (bool(top), bool(left), bool(bottom), bool(right))
        return _Cut(example.image[box], [mask[box], *parts], sides)
    return None


def _turn(cut: _Cut, degrees: float) -> _Cut:
    """Rotate an object that its photo shows whole about its middle."""
    if degrees == 0 or any(cut.at_sides):
        return cut
    height, width = cut.masks[0].shape
    turned = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1.0)
    cosine, sine = abs(turned[0, 0]), abs(turned[0, 1])
    size = (
        int(np.ceil(width * cosine + height * sine)),
        int(np.ceil(width * sine + height * cosine)),
    )
    turned[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    image = cv2.warpAffine(cut.image, turned, size, borderMode=cv2.BORDER_REPLICATE)
    masks = [cv2.warpAffine(mask.astype(np.float32), turned, size) >= 0.5 for mask in cut.masks]
    return _Cut(np.asarray(image, np.uint8), masks, cut.at_sides)


def _extent(mask: Bool[np.ndarray, "h w"], axis: int) -> int:
    """The number of rows (axis 1) or columns (axis 0) from the first to the last that has a pixel of the mask."""
    return int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) + 1


def _resize_mask(
    mask: Bool[np.ndarray, "h w"], size: tuple[int, int], softness: float
) -> Float32[np.ndarray, "new_h new_w"]:
    """The share of each new pixel that the mask covers, with an edge softened over `softness` pixels."""
    method = cv2.INTER_AREA if size[0] < mask.shape[1] else cv2.INTER_LINEAR
    resized = cv2.resize(mask.astype(np.float32), size, interpolation=method)
    border = cv2.BORDER_REPLICATE  # what the photo's side cuts off goes on beyond it
    return cv2.GaussianBlur(resized, (0, 0), softness, borderType=border)


def _draw_offset(
    rng: np.random.Generator, side: int, extent: int, at_start: bool, at_end: bool
) -> int:
    """Draw where an object begins along an axis; a fifth of it may lie outside of the photo."""
    outside = extent // 5
    offset = int(rng.integers(min(-outside, side - extent), max(side - extent + outside, 0) + 1))
    return 0 if at_start else side - extent if at_end else offset


def _draw_corner_over(
    before: _Placed, extent: tuple[int, ...], rng: np.random.Generator
) -> list[int]:
    """Draw where an object begins whose middle lies over a pixel of the object before."""
    pixels = np.argwhere(before.masks[0])
    pixel = pixels[int(rng.integers(len(pixels)))]
    starts = [side.start for side in before.window]
    return [int(a + b) - side // 2 for a, b, side in zip(starts, pixel, extent, strict=False)]
