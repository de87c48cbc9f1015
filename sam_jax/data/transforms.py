"""From an example to what the model trains on: a padded input, and some masks at a quarter of its size."""

import bisect
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image

from sam_jax.data.augmentation import (
    Augmentation,
    Placement,
    draw_colours,
    draw_placement,
    place_whole,
)
from sam_jax.data.example import Example, RecordError, mask_runs
from sam_jax.data.pixel_runs import Runs, measure_cells
from sam_jax.types import InputError

LARGEST_SHARE = 0.9
"""Share of the photo above which a mask is dropped (SAM, appendix A)."""

CELL = 4
"""Pixels of the padded input along a side of a cell of the truth."""


class FramedExample(NamedTuple):
    """One image of a `Batch`, with the same fields."""

    image: UInt8[np.ndarray, "h w 3"]
    fitted: tuple[int, int]
    masks: Bool[np.ndarray, "n h_low w_low"]
    valid: Bool[np.ndarray, " n"]
    text: Float32[np.ndarray, "n k c"] | None = None


def frame_example(
    example: Example,
    frame: tuple[int, int],
    num_masks: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> FramedExample:
    """Augment a photo, bring it into the model's padded input, and draw up to `num_masks` of its masks.

    Masks are looked at in random order until enough are usable. A mask is not usable if it covers over 90 % of the part
    of the photo that is shown, or fewer cells than `augmentation.min_cells`. If no mask is usable in the part that was
    drawn, the whole photo is shown. Where no masks are wanted, none are needed.

    Args:
        example: Photo and its masks.
        frame: Size (h, w) of the model's padded input, multiples of 4.
        num_masks: Number of masks that the result has room for; 0 for the photo alone.
        augmentation: Augmentation to draw from.
        rng: Random generator of all draws; the result depends on nothing else.

    Raises:
        RecordError: No mask is usable, one cannot be decoded, or the photo is too thin.
    """
    try:
        placement = draw_placement(example.image.shape[:2], frame, augmentation, rng)
        colours = draw_colours(augmentation, rng) if augmentation.colour else None
        order = rng.permutation(len(example.masks))
        times = np.sort(rng.exponential(size=len(order)))
        drawn = _draw_masks(example, placement, num_masks, order, times, augmentation)
        shows_part = augmentation.scale != (1.0, 1.0) or augmentation.crop_area is not None
        if num_masks and not drawn and shows_part:
            placement = place_whole(example.image.shape[:2], frame)
            drawn = _draw_masks(example, placement, num_masks, order, times, augmentation)
    except InputError as error:
        raise RecordError(f"{example.name}: {error}") from error
    if num_masks and not drawn:
        raise RecordError(f"{example.name}: {_explain_lack(example)}")
    masks = np.zeros((num_masks, frame[0] // CELL, frame[1] // CELL), bool)
    for place, (_, truth) in enumerate(drawn):
        masks[place] = truth
    text = None
    if example.text is not None:
        text = np.zeros((num_masks, *example.text.shape[1:]), np.float32)
        text[: len(drawn)] = example.text[[index for index, _ in drawn]]
    return FramedExample(
        image=render_photo(example.image, placement, colours),
        fitted=placement.fitted,
        masks=masks,
        valid=np.arange(num_masks) < len(drawn),
        text=text,
    )


def render_photo(
    image: UInt8[np.ndarray, "h w 3"],
    placement: Placement,
    colours: tuple[Float[np.ndarray, "3 3"], float] | None = None,
) -> UInt8[np.ndarray, "frame_h frame_w 3"]:
    """Resize a photo as `frame_image` does, with the crop, flips and colours of an augmentation.

    Args:
        image: RGB photo.
        placement: Crop, flips and size.
        colours: Linear change of colours that `draw_colours` drew; None for none.
    """
    height, width = placement.fitted[::-1] if placement.transpose else placement.fitted
    resized = Image.fromarray(image).resize(
        (width, height), Image.Resampling.BILINEAR, placement.box
    )
    if colours is not None:
        resized = change_colours(resized, colours)
    pixels = _orient(np.asarray(resized), placement)
    framed = np.zeros((*placement.frame, 3), np.uint8)
    framed[: placement.fitted[0], : placement.fitted[1]] = pixels
    return framed


def change_colours(
    photo: Image.Image, colours: tuple[Float[np.ndarray, "3 3"], float]
) -> Image.Image:
    """Apply the linear change of colours that `draw_colours` drew."""
    matrix, share_of_mean = colours
    mean = float(np.asarray(photo.convert("L")).mean())
    offset = np.full((3, 1), share_of_mean * mean)
    return photo.convert("RGB", tuple(np.hstack([matrix, offset]).ravel().tolist()))


def render_mask(runs: Runs, placement: Placement) -> Bool[np.ndarray, "h_low w_low"]:
    """The truth for a mask: for each cell of 4x4 pixels of the padded input, whether at least half of it is object.

    The padding is not object.
    """
    return _render_mask(runs, placement)[0]


def _render_mask(runs: Runs, placement: Placement) -> tuple[Bool[np.ndarray, "h_low w_low"], float]:
    """The truth, and the share of the shown part of the photo that the mask covers."""
    x0, y0, x1, y1 = placement.box
    height, width = placement.fitted[::-1] if placement.transpose else placement.fitted
    areas = measure_cells(
        runs,
        _cell_edges(y0, y1, height, placement.flip_y),
        _cell_edges(x0, x1, width, placement.flip_x),
    )
    area_of_cell = CELL * (y1 - y0) / height * CELL * (x1 - x0) / width
    is_object = _orient(areas, placement) * 2 >= area_of_cell * (1 - 1e-9)
    truth = np.zeros((placement.frame[0] // CELL, placement.frame[1] // CELL), bool)
    truth[: is_object.shape[0], : is_object.shape[1]] = is_object
    return truth, float(areas.sum()) / ((y1 - y0) * (x1 - x0))


def _cell_edges(start: float, stop: float, pixels: int, flip: bool) -> Float[np.ndarray, " edges"]:
    """The edges of the padded input's cells along an axis of the photo, ascending, in pixels of the photo."""
    edges = np.minimum(np.arange(0, pixels + CELL, CELL), pixels) / pixels
    return start + (stop - start) * ((1 - edges)[::-1] if flip else edges)


def _orient(pixels: np.ndarray, placement: Placement) -> np.ndarray:
    pixels = pixels[:: -1 if placement.flip_y else 1, :: -1 if placement.flip_x else 1]
    return pixels.swapaxes(0, 1) if placement.transpose else pixels


def _draw_masks(
    example: Example,
    placement: Placement,
    num_masks: int,
    order: Int[np.ndarray, " masks"],
    times: Float[np.ndarray, " masks"],
    augmentation: Augmentation,
) -> list[tuple[int, np.ndarray]]:
    """Draw usable masks without replacement, by weight: the index and the truth of each.

    Each mask gets an exponential time with its weight as the rate, and the earliest are taken (Efraimidis and Spirakis,
    "Weighted random sampling with a reservoir", 2006, https://doi.org/10.1016/j.ipl.2005.11.003).

    Args:
        example: Photo and its masks.
        placement: Part of the photo that is shown.
        num_masks: Largest number of masks.
        order: Indices of the masks in the order in which equal weights would take them.
        times: Exponential times at a rate of 1, ascending, one for each entry of `order`.
        augmentation: Definition of usable masks and of their weights.
    """
    drawn: list[tuple[float, int, np.ndarray]] = []
    if num_masks == 0:
        return []
    for index, time in zip(order.tolist(), times.tolist(), strict=True):
        if len(drawn) >= num_masks and time >= drawn[num_masks - 1][0]:
            break  # a weight is at most 1, so nobody arrives before this time any more
        truth, share = _render_mask(mask_runs(example.masks, index), placement)
        if share <= LARGEST_SHARE and np.count_nonzero(truth) >= augmentation.min_cells:
            arrival = time / share**augmentation.area_power
            bisect.insort(drawn, (arrival, index, truth), key=itemgetter(0))
    return [(index, truth) for _, index, truth in drawn[:num_masks]]


def _explain_lack(example: Example) -> str:
    count = len(example.masks)
    if count == 0:
        return "it has no masks"
    return f"none of its {count} masks is of use: each is empty, tiny, or over 90 % of the photo"
