"""Pictures of what a model learns: prompts, its answers and the truth, or photos, parts of them, and what it paints."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw

from sam_jax.types import PointLabel

Picture = UInt8[np.ndarray, "h w 3"]

GAP = 4
"""Space between the photos of a picture, in pixels."""

MOST_WIDTH = 320
"""Largest width of one photo in the picture, in pixels."""

HIDDEN = np.uint8(128)
"""Grey of what an encoder did not see."""

ANSWER, TRUTH = (30, 144, 255), (255, 196, 0)
COLOURS = {
    PointLabel.FOREGROUND: (40, 200, 80),
    PointLabel.BACKGROUND: (230, 40, 40),
    PointLabel.TOP_LEFT: (255, 255, 255),
    PointLabel.BOTTOM_RIGHT: (255, 255, 255),
}


def draw_sessions(
    images: UInt8[np.ndarray, "b h w 3"],
    fitted: Int[np.ndarray, "b 2"],
    points: Float[np.ndarray, "b p 2"],
    labels: Int[np.ndarray, "b p"],
    first: Bool[np.ndarray, "b h_low w_low"],
    last: Bool[np.ndarray, "b h_low w_low"],
    truth: Bool[np.ndarray, "b h_low w_low"],
) -> UInt8[np.ndarray, "all_h all_w 3"]:
    """Draw a row for each image: the prompts, the first answer, the last answer, the truth.

    Args:
        images: Padded inputs, before they are normalised.
        fitted: Height and width of each photo inside its padded input, in pixels.
        points: Points in pixels of the padded inputs, x and y, in the order of iterations.
        labels: The `PointLabel` of each point.
        first: Masks after the first iteration.
        last: Masks after the last iteration.
        truth: True masks.
    """
    size = (images.shape[1], images.shape[2])
    rows = []
    for i, image in enumerate(images):
        views = [
            _mark(image, points[i], labels[i]),
            _tint(image, _enlarge(first[i], size), ANSWER),
            _tint(image, _enlarge(last[i], size), ANSWER),
            _tint(image, _enlarge(truth[i], size), TRUTH),
        ]
        height, width = fitted[i]
        rows.append([view[:height, :width] for view in views])
    return arrange_views(rows)


def draw_reconstructions(
    images: UInt8[np.ndarray, "b h w 3"],
    painted: UInt8[np.ndarray, "b h w 3"],
    removed: Bool[np.ndarray, "b h w"],
) -> UInt8[np.ndarray, "all_h all_w 3"]:
    """Draw a row for each image: the photo, what the encoder saw of it, and the reconstruction.

    Args:
        images: Photos.
        painted: What the model paints in place of each pixel.
        removed: Pixels that the encoder did not see; only those are painted in the picture.
    """
    rows = []
    for image, paint, hidden in zip(images, painted, removed[..., None], strict=True):
        rows.append([image, np.where(hidden, HIDDEN, image), np.where(hidden, paint, image)])
    return arrange_views(rows)


def draw_boxes(
    images: UInt8[np.ndarray, "b h w 3"],
    fitted: Int[np.ndarray, "b 2"],
    found: Sequence[Float[np.ndarray, "_found 4"]],
    truth: Sequence[Float[np.ndarray, "_true 4"]],
) -> UInt8[np.ndarray, "all_h all_w 3"]:
    """Draw a row for each image: the boxes that were found, and the true ones.

    Args:
        images: Padded inputs, before they are normalised.
        fitted: Height and width of each photo inside its padded input, in pixels.
        found: Boxes x0, y0, x1, y1 of each image in pixels of the padded input.
        truth: True boxes of each image.
    """
    rows = []
    for image, (height, width), *both in zip(images, fitted, found, truth, strict=True):
        shown = image[:height, :width]
        rows.append(
            [outline_boxes(shown, *some) for some in zip(both, (ANSWER, TRUTH), strict=True)]
        )
    return arrange_views(rows)


def outline_boxes(
    image: Picture, boxes: Float[np.ndarray, "n 4"], colour: tuple[int, int, int] = ANSWER
) -> Picture:
    """Draw boxes x0, y0, x1, y1 on an image."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for box in np.asarray(boxes).tolist():
        draw.rectangle(tuple(box), outline=colour, width=2)
    return np.asarray(picture)


def draw_crops(
    crops: Sequence[UInt8[np.ndarray, "n h w 3"]], right: Sequence[Bool[np.ndarray, " n"]]
) -> UInt8[np.ndarray, "all_h all_w 3"]:
    """Draw a row of crops for each drawing, framed by whether the model is right about them.

    Args:
        crops: Crops of each drawing, of one size.
        right: Whether the model is right about each crop.
    """
    rows = []
    for images, answers in zip(crops, right, strict=True):
        rows.append([_frame(image, bool(one)) for image, one in zip(images, answers, strict=True)])
    return arrange_views(rows)


def _frame(image: Picture, is_right: bool) -> UInt8[np.ndarray, "framed_h framed_w 3"]:
    framed = np.empty((image.shape[0] + 2 * GAP, image.shape[1] + 2 * GAP, 3), np.uint8)
    framed[:] = COLOURS[PointLabel.FOREGROUND if is_right else PointLabel.BACKGROUND]
    framed[GAP:-GAP, GAP:-GAP] = image
    return framed


def _enlarge(mask: np.ndarray, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    return np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _tint(image: Picture, mask: Bool[np.ndarray, "h w"], colour: tuple[int, int, int]) -> Picture:
    """Colour a mask: half transparent inside, opaque along its border."""
    inner = mask.copy()
    for axis in (0, 1):
        for shift in (-2, 2):
            inner &= np.roll(mask, shift, axis)
    opacity = np.where(mask, np.where(inner, 0.4, 1.0), 0.0)[:, :, None]
    return np.round(image + opacity * (np.array(colour) - image)).astype(np.uint8)


def _mark(image: Picture, points: np.ndarray, labels: np.ndarray) -> Picture:
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    radius = max(image.shape) / 100
    corners = [
        tuple(points[labels == label][0].tolist())
        for label in (PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT)
        if (labels == label).any()
    ]
    if len(corners) == 2:
        (x0, y0), (x1, y1) = corners
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        draw.rectangle(box, outline=COLOURS[PointLabel.TOP_LEFT], width=max(1, round(radius / 2)))
    for point, label in zip(points.tolist(), labels.tolist(), strict=True):
        if label in (PointLabel.FOREGROUND, PointLabel.BACKGROUND):
            draw.circle(tuple(point), 1.4 * radius, fill=(255, 255, 255))
            draw.circle(tuple(point), radius, fill=COLOURS[PointLabel(label)])
    return np.asarray(picture)


def arrange_views(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_h _w 3"]]],
) -> UInt8[np.ndarray, "all_h all_w 3"]:
    """Put views beside and below each other, each scaled to at most `MOST_WIDTH`.

    Args:
        rows: Views of each row, which have one size.
    """
    scaled = []
    for row in rows:
        height, width = row[0].shape[:2]
        scale = min(1.0, MOST_WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        scaled.append([np.asarray(Image.fromarray(view).resize(size)) for view in row])
    width = max(sum(view.shape[1] + GAP for view in row) for row in scaled)
    height = sum(row[0].shape[0] + GAP for row in scaled)
    canvas = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for row in scaled:
        left = 0
        for view in row:
            canvas[top : top + view.shape[0], left : left + view.shape[1]] = view
            left += view.shape[1] + GAP
        top += row[0].shape[0] + GAP
    return canvas
