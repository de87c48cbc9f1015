"""Label maps as people have them: hard or soft masks, palettes, colours, a void label, a background not black."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32, Integer
from PIL import Image, UnidentifiedImageError

from sam_jax.data.example import RecordError
from sam_jax.data.hints import Hints
from sam_jax.storage import refuse_endless
from sam_jax.types import InputError

VOID = 255
"""The label that PASCAL VOC and many others give to pixels that nobody decided about."""
OPAQUE = 128
"""The least alpha of a pixel that counts."""
SOFT_RANGE = 128
"""The least difference in grey between the object and the background of a mask with soft edges."""
NEAR_LEVEL = 32
"""Difference in grey within which a pixel has a level but for compression."""
BETWEEN_SHARE = 0.07
"""Share of a map's edge pixels that lie between the levels of their neighbours from which on it isn't a hard one. Where
three objects meet, a few do: up to 0.05 in maps of many colours; after JPEG at its best quality it is 0.08."""
BORDER_SHARE, AREA_SHARE = 0.9, 0.5
"""What a label that isn't black covers of a map's border and area to look like its background."""


class LabelImage(NamedTuple):
    """A label map.

    Attributes:
        labels: Label of each pixel's object; 0 for the background.
        notes: Choices that were made, a line for each.
    """

    labels: Int32[np.ndarray, "h w"]
    notes: tuple[str, ...] = ()


def read_labels(path: Path, hints: Hints) -> LabelImage:
    """Read a label map: grey levels, indices into a palette, or one number for each colour.

    A grey mask with soft edges becomes one object, of the pixels that are nearer to it than to the background. Pixels
    of alpha below 128 are background. 255 is no object where other labels show that it means void.

    Raises:
        RecordError: The file is no image, is damaged, or holds floating-point numbers; or it looks interpolated, or as
            if its background had another label than 0.
    """
    levels = _decode(path)
    softness = _find_soft(levels)
    if softness.any():
        labels = _threshold(path, levels, softness)
        return LabelImage(
            labels, (f"{path} has soft edges: it is taken for one object, cut at half",)
        )
    labels = _number_colours(levels)
    notes: tuple[str, ...] = ()
    if hints.void is None and _has_void(labels):
        notes = (
            f"{path}: label {VOID} is taken for void; void = [] in {hints.place} makes objects of it",
        )
        labels = np.where(labels == VOID, 0, labels)
    for label in hints.void or ():
        labels = np.where(labels == label, 0, labels)
    if hints.background is not None:
        # What is black belongs to an object then, and needs a label of its own.
        free = np.where(labels == 0, labels.max() + 1, labels) if hints.background else labels
        return LabelImage(np.where(labels == hints.background, 0, free).astype(np.int32), notes)
    _check_background(path, labels, hints)
    return LabelImage(labels, notes)


def _decode(path: Path) -> Int32[np.ndarray, "h w c"]:
    """Levels of all channels, or of one where all are the same; background where transparent.

    Raises:
        RecordError: The file cannot be read, or has levels that are no labels.
    """
    try:
        refuse_endless(path)
        with path.open("rb") as file, Image.open(file) as image:
            if image.mode in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
                return np.asarray(image).astype(np.int32)[:, :, None]
            if image.mode not in ("LA", "PA", "RGB", "RGBA"):
                raise RecordError(f"{path} is not a map of labels: its pixels are {image.mode}")
            pixels = np.asarray(image.convert("RGBA")).astype(np.int32)
    except UnidentifiedImageError as error:
        raise RecordError(f"{path} is not an image in a known format (PNG, TIFF, ...)") from error
    except RecordError:
        raise
    except InputError as error:
        raise RecordError(str(error)) from error
    # As in `read_image`: decoders raise whatever they like.
    except Exception as error:
        raise RecordError(f"{path} is a truncated or damaged image: {error}") from error
    colours, alpha = pixels[:, :, :3], pixels[:, :, 3:]
    levels = np.where(alpha < OPAQUE, 0, colours)
    is_grey = bool((levels == levels[:, :, :1]).all())
    return levels[:, :, :1] if is_grey else levels


def _number_colours(levels: Int32[np.ndarray, "h w c"]) -> Int32[np.ndarray, "h w"]:
    if levels.shape[2] == 1:
        return levels[:, :, 0]
    return levels @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _find_soft(levels: Int32[np.ndarray, "h w c"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that interpolation or compression made, if the map has been through it; else none.

    Between two objects of a hard map, every pixel has the level of one of them. A soft edge has pixels whose level lies
    strictly between those of their neighbours, and such levels form seams: no pixel has only neighbours of its level.
    Where three objects meet, a pixel's level may lie between those of the others, but it has neighbours of its own.
    """
    none = np.zeros(levels.shape[:2], bool)
    if min(levels.shape[:2]) < 3:
        return none
    planes = [
        np.ascontiguousarray(levels[:, :, k].astype(np.float32)) for k in range(levels.shape[2])
    ]
    square = np.ones((3, 3), np.uint8)
    lowest = np.stack([cv2.erode(plane, square) for plane in planes], axis=2)
    highest = np.stack([cv2.dilate(plane, square) for plane in planes], axis=2)
    is_edge = (lowest < highest).any(axis=2)
    is_between = ((lowest < levels) & (levels < highest)).any(axis=2) & ~_in_flat_squares(planes)
    if not is_between.any():
        return none
    numbers = _number_colours(levels)
    found, places = np.unique(numbers, return_inverse=True)
    places = places.reshape(numbers.shape)
    pixels = np.bincount(places.ravel(), minlength=found.size)
    between = np.bincount(places[is_between], minlength=found.size)
    has_inside = np.bincount(places[~is_edge], minlength=found.size) > 0
    makes_seams = ~has_inside & (2 * between > pixels)
    is_seam = makes_seams[places]
    is_interpolated = np.count_nonzero(is_between) >= BETWEEN_SHARE * np.count_nonzero(is_edge)
    if is_interpolated or np.count_nonzero(~makes_seams) == 2:
        return is_seam | is_between if is_interpolated else is_seam
    return none


def _in_flat_squares(planes: list[Float[np.ndarray, "h w"]]) -> Bool[np.ndarray, "h w"]:
    """Pixels that lie in a square of 2x2 pixels of one level."""
    square = np.ones((2, 2), np.uint8)
    is_flat = np.all(
        [cv2.erode(plane, square) == cv2.dilate(plane, square) for plane in planes], axis=0
    )
    # A square is marked at its lower right pixel, and its pixels lie up and to the left of that.
    return cv2.dilate(is_flat.astype(np.uint8), square, anchor=(0, 0)).astype(bool)


def _threshold(
    path: Path, levels: Int32[np.ndarray, "h w c"], soft: Bool[np.ndarray, "h w"]
) -> Int32[np.ndarray, "h w"]:
    """The object of a mask with soft edges.

    Raises:
        RecordError: It is no mask of one object.
    """
    if levels.shape[2] == 1:
        grey = levels[:, :, 0]
        low, high = int(grey.min()), int(grey.max())
        is_level = (grey - low <= NEAR_LEVEL) | (high - grey <= NEAR_LEVEL)
        if high - low >= SOFT_RANGE and (is_level | soft).mean() > 0.98:
            return (2 * grey >= low + high).astype(np.int32)
    raise RecordError(
        f"{path} looks like a label map that was scaled with interpolation or compressed as JPEG, which makes new "
        "labels at the edges: make it again without (nearest neighbour, PNG)"
    )


def _has_void(labels: Integer[np.ndarray, "h w"]) -> bool:
    """Whether 255 stands apart from the other labels: neither the next of many, nor the last of a few spread evenly."""
    others = np.unique(labels[(labels != 0) & (labels != VOID)])
    if not (others.size and (labels == VOID).any() and labels.max() == VOID):
        return False
    evenly = np.arange(1, others.size + 1) * VOID / (others.size + 1)
    return bool(others[-1] < VOID - 1 and not (np.abs(others - evenly) <= 1).all())


def _check_background(path: Path, labels: Integer[np.ndarray, "h w"], hints: Hints) -> None:
    """Refuse a map that looks as if something else than black were its background.

    Raises:
        RecordError: A label covers nearly all of the border and most of the map, and black none of the border.
    """
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    found, counts = np.unique(border, return_counts=True)
    label = int(found[counts.argmax()])
    if label == 0 or 0 in found or counts.max() < BORDER_SHARE * border.size:
        return
    if np.unique(labels).size > 1 and (labels == label).mean() >= AREA_SHARE:
        raise RecordError(
            f"{path}: its background seems to have the label {label}, not 0: write background = {label} into "
            f"{hints.place}, or background = 0 if it is an object"
        )
