"""Pictures that show masks and prompts on top of the photo."""

import colorsys
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sam_jax.ops.arguments import check_image, check_numbers, describe
from sam_jax.types import InputError

FILL_OPACITY = 0.45
EVERYTHING_OPACITY = 0.55
LINE_OPACITY = 0.85
GOLDEN_RATIO = (1 + 5**0.5) / 2
FIRST_HUE = 0.58
FOREGROUND_COLOUR = (40, 167, 69)
BACKGROUND_COLOUR = (220, 38, 38)
WHITE = (255, 255, 255)
SUPERSAMPLING = 4
FARTHEST = 1e5
"""Coordinate beyond which marks are drawn as if they lay there; Pillow's are of 32 bits."""


def draw_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    masks: Bool[np.ndarray, "m h w"],
    *,
    points: Float[np.ndarray, "p 2"] | None = None,
    labels: Int[np.ndarray, " p"] | None = None,
    boxes: Float[np.ndarray, "k 4"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Tint every mask in a colour of its own, outline it, and mark the prompts.

    The width of lines and marks is a share of the photo's size.

    Args:
        image: RGB photo.
        masks: Masks; later ones are drawn over earlier ones.
        points: Points x, y in pixels, drawn as discs: a white plus on green for foreground, a white minus on red for
            background.
        labels: Label of each point: 1 for foreground, 0 for background.
        boxes: Boxes x0, y0, x1, y1 in pixels, drawn in the colours of the masks with the same numbers.

    Raises:
        InputError: The image is not an RGB image, the masks have another size, or points don't have a label each.
    """
    image = check_image(image)
    height, width, _ = image.shape
    masks = check_masks(masks, (height, width))
    if masks.ndim != 3:
        raise InputError(f"masks are an array of (m, h, w), not of shape {masks.shape}")
    if points is not None:
        points = _check_marks("points", points, 2)
        count = (len(points),)
        labels = check_numbers("labels", np.ones(count) if labels is None else labels, count)
    boxes = None if boxes is None else _check_marks("boxes", boxes, 4)
    scale = (height + width) / 480
    line = max(2.0, scale)
    canvas = image.astype(np.float32)
    for number, mask in enumerate(masks):
        _tint(canvas, mask, mask_colour(number), line)
    picture = Image.fromarray(np.round(canvas).astype(np.uint8))
    for number, box in enumerate([] if boxes is None else boxes):
        _draw_box(picture, box, mask_colour(number), line)
    if points is not None and labels is not None:
        for point, label in zip(points, labels.tolist(), strict=True):
            _draw_click(picture, point, is_foreground=label == 1, radius=max(4.0, 4 * scale))
    return np.array(picture)


def check_masks(masks: Any, size: tuple[int, int]) -> Bool[np.ndarray, "*masks h w"]:
    """The masks as an array of booleans: where they were numbers, those above 0.

    Args:
        masks: What was given.
        size: Height and width of the photo.

    Raises:
        InputError: They are no masks, or of another size.
    """
    try:
        array = np.asarray(masks)
    except ValueError:  # of different sizes
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf" or array.shape[-2:] != size:
        raise InputError(
            f"masks are arrays of the photo's {size[0]}x{size[1]} pixels (h x w), not {describe(masks)}"
        )
    return array if array.dtype == bool else array > 0


def _check_marks(name: str, marks: Any, numbers: int) -> Float[np.ndarray, "k d"]:
    """Points or boxes, near enough to the photo to be drawn."""
    return np.clip(check_numbers(name, marks, (None, numbers)), -FARTHEST, FARTHEST)


def draw_everything(
    image: UInt8[np.ndarray, "h w 3"],
    masks: Sequence[Bool[np.ndarray, "h w"]],
    names: Sequence[str] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """Paint all masks of a photo like a map: every pixel in the colour of the smallest mask that covers it.

    Args:
        image: RGB photo.
        masks: Masks in any order; the same masks get the same colours.
        names: Name of each mask, written on it; empty for none.
    """
    height, width, _ = image.shape
    top = np.zeros((height, width), np.int32)
    for number, mask in enumerate(sorted(masks, key=np.count_nonzero, reverse=True), start=1):
        top[mask] = number
    colours = np.array([(0, 0, 0), *(map_colour(k) for k in range(len(masks)))], np.float32)
    opacity = np.where(top > 0, np.float32(EVERYTHING_OPACITY), 0)[:, :, None]
    canvas = image + opacity * (colours[top] - image)
    line = _borders(top, max(1.0, (height + width) / 1200))[:, :, None]
    painted = np.round(canvas + LINE_OPACITY * line * (255 - canvas)).astype(np.uint8)
    named = [(mask, name) for mask, name in zip(masks, names, strict=False) if name]
    return _write_names(painted, named) if named else painted


def _write_names(
    image: UInt8[np.ndarray, "h w 3"], named: Sequence[tuple[Bool[np.ndarray, "h w"], str]]
) -> UInt8[np.ndarray, "h w 3"]:
    """Write names in white on black, each at the upper left corner of its mask's box."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(10.0, sum(picture.size) / 100))
    for mask, name in named:
        corner = [int(np.flatnonzero(mask.any(axis))[0]) for axis in (0, 1)]
        left, top, right, bottom = draw.textbbox((0, 0), name, font)
        x, y = (
            max(0, min(place, side - math.ceil(length)))
            for place, side, length in zip(corner, picture.size, (right, bottom), strict=True)
        )
        draw.rectangle((x + left - 2, y + top - 2, x + right + 2, y + bottom + 2), fill=(0, 0, 0))
        draw.text((x, y), name, fill=WHITE, font=font)
    return np.array(picture)


def _borders(labels: Int[np.ndarray, "h w"], width: float) -> Float[np.ndarray, "h w"]:
    """Opacity of smooth lines between areas of different labels; the width is in pixels."""
    edges = np.zeros(labels.shape, np.uint8)
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edges[1:] |= labels[1:] != labels[:-1]
    drawn = Image.fromarray(edges * np.uint8(255)).filter(ImageFilter.GaussianBlur(width / 2))
    return np.clip(np.asarray(drawn, np.float32) / 255 * 1.6 * width, 0, 1)


def map_colour(number: int) -> tuple[int, int, int]:
    """Choose a colour of a map: hues in golden-ratio steps, and three tones in turn, tell hundreds apart."""
    return _colour(number, *((0.75, 1.0), (0.55, 0.85), (0.9, 0.75))[number % 3])


def mask_colour(number: int) -> tuple[int, int, int]:
    """Choose a colour for a mask: golden-ratio steps around the hue circle keep any few far apart."""
    return _colour(number, 0.85, 1.0)


def _colour(number: int, saturation: float, value: float) -> tuple[int, int, int]:
    hue = (FIRST_HUE + number / GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _tint(canvas: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], line: float) -> None:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return
    margin = int(np.ceil(2 * line))
    near = (
        slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
    )
    inside = mask[near]
    opacity = np.maximum(FILL_OPACITY * inside, _outline(inside, line))[:, :, None]
    canvas[near] += opacity * (np.asarray(colour, np.float32) - canvas[near])


def _outline(mask: np.ndarray, line: float) -> Float[np.ndarray, "h w"]:
    """Opacity of a smooth line along a mask's border.

    A blurred mask rises through 1/2 at the border, at a rate that the blur sets: its distance from
    1/2 is, close by, the distance from the border.
    """
    padding = int(np.ceil(3 * line))
    # A border that the photo cuts off is no border of the object: beyond the edge goes on as before.
    wide = np.pad(mask, padding, mode="edge").astype(np.uint8) * np.uint8(255)
    blurred = Image.fromarray(wide).filter(ImageFilter.GaussianBlur(line))
    level = np.asarray(blurred, np.float32)[padding:-padding, padding:-padding] / 255
    distance = np.abs(level - 0.5) * line * np.sqrt(2 * np.pi, dtype=np.float32)
    return np.clip(line / 2 + 0.5 - distance, 0, 1)


def _draw_box(picture: Image.Image, box: np.ndarray, colour: tuple, line: float) -> None:
    x0, y0, x1, y1 = box.tolist()
    thickness = round(line)
    draw = ImageDraw.Draw(picture)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    for start, end in pairwise(corners):
        draw.line([start, end], fill=colour, width=thickness)


def _draw_click(
    picture: Image.Image, point: np.ndarray, *, is_foreground: bool, radius: float
) -> None:
    """Paste a disc drawn at four times its size, so that its edge is smooth."""
    side = 2 * int(np.ceil(radius)) + 1
    scale, centre = SUPERSAMPLING, SUPERSAMPLING * side / 2
    disc = Image.new("RGBA", (scale * side, scale * side), (*WHITE, 0))
    draw = ImageDraw.Draw(disc)

    def circle(radius: float, fill: tuple) -> None:
        draw.circle((centre, centre), scale * radius, fill=fill)

    circle(radius, WHITE)
    circle(0.8 * radius, FOREGROUND_COLOUR if is_foreground else BACKGROUND_COLOUR)
    length, thickness = 0.45 * scale * radius, 0.11 * scale * radius
    bars = [(length, thickness), (thickness, length)] if is_foreground else [(length, thickness)]
    for half_width, half_height in bars:
        draw.rectangle(
            [centre - half_width, centre - half_height, centre + half_width, centre + half_height],
            fill=WHITE,
        )
    small = disc.resize((side, side), Image.Resampling.BOX)
    x, y = np.floor(point).astype(int) - side // 2
    picture.paste(small, (int(x), int(y)), small)
