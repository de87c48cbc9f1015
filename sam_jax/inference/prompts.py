"""From clicks, boxes, masks and text, as people give them, to the model's `Prompts`."""

import numpy as np
from jaxtyping import Float, Int, Shaped

from sam_jax.data.framing import Framing
from sam_jax.types import InputError, PointLabel, Prompts

POINT_SIZES = (2, 4, 8, 16, 32, 64)
"""Prompts are filled up to one of these numbers of points, so that one more click seldom compiles a new program."""

PROMPT_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Prompts are decoded in batches of these sizes."""

LARGEST = 1e6
"""Largest magnitude of coordinates and logits in prompts; the model's products of far larger ones would be infinite."""

_CORNERS = (PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT)


def make_prompts(
    framing: Framing,
    *,
    point_coords: Float[np.ndarray, "_n _p 2"] | None = None,
    point_labels: Shaped[np.ndarray, "_n _p"] | None = None,
    boxes: Float[np.ndarray, "_n 4"] | None = None,
    mask_inputs: Float[np.ndarray, "_n h w"] | None = None,
    text: Float[np.ndarray, "_n c"] | None = None,
) -> Prompts:
    """Prompts for one image, filled up to a number of points from `POINT_SIZES`.

    The padding point follows points and text that come without a box, as in training.

    Args:
        framing: Where the image lies in the padded input.
        point_coords: Points x, y in pixels of the original image.
        point_labels: A label for every point: 1 foreground, 0 background, 2 and 3 the upper left and the lower right
            corner of a box, -1 no point.
        boxes: Boxes x0, y0, x1, y1 in pixels of the original image.
        mask_inputs: Low-resolution logits of an earlier answer.
        text: CLIP's embeddings of phrases, of unit length.

    Raises:
        InputError: There is no prompt, or its parts don't fit each other.
    """
    _check(framing, point_coords, point_labels, boxes, mask_inputs, text)
    n = next(len(x) for x in (point_coords, boxes, mask_inputs, text) if x is not None)
    points, labels = [np.zeros((n, 0, 2), np.float32)], [np.zeros((n, 0), np.int32)]
    if point_coords is not None and point_labels is not None:
        points.append(framing.to_frame(point_coords))
        labels.append(np.asarray(point_labels, np.int32))
    if boxes is None and (point_coords is not None or text is not None):
        # As after a box, no padding point follows the corners of one.
        has_corners = np.isin(labels[-1], _CORNERS).any(axis=1, keepdims=True)
        padding = np.where(has_corners, PointLabel.ABSENT, PointLabel.NOT_A_POINT)
        points.append(np.zeros((n, 1, 2), np.float32))
        labels.append(padding.astype(np.int32))
    if boxes is not None:
        points.append(framing.to_frame(np.asarray(boxes).reshape(n, 2, 2)))
        labels.append(np.tile(np.array(_CORNERS, np.int32), (n, 1)))
    prompts = Prompts(
        np.concatenate(points, axis=1)[None],
        np.concatenate(labels, axis=1)[None],
        None if mask_inputs is None else np.asarray(mask_inputs, np.float32)[None],
        None if text is None else np.asarray(text, np.float32)[None],
    )
    return pad_points(prompts, round_up(prompts.labels.shape[2], POINT_SIZES))


def pad_points(prompts: Prompts, count: int) -> Prompts:
    """The same prompts with `count` points each; nothing attends to those that are added."""
    missing = ((0, 0), (0, 0), (0, count - prompts.labels.shape[2]))
    return prompts._replace(
        points=np.pad(prompts.points, (*missing, (0, 0))),
        labels=np.pad(prompts.labels, missing, constant_values=PointLabel.ABSENT),
    )


def pad_prompts(prompts: Prompts, count: int) -> Prompts:
    """`count` prompts for each image; the last is repeated."""
    last = prompts.labels.shape[1] - 1
    return take_prompts(prompts, np.minimum(np.arange(count), last))


def take_prompts(prompts: Prompts, which: slice | Int[np.ndarray, " n"]) -> Prompts:
    """Some of every image's prompts."""
    return Prompts(
        prompts.points[:, which],
        prompts.labels[:, which],
        *(None if part is None else part[:, which] for part in prompts[2:]),
    )


def round_up(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `count`; beyond them, a multiple of the largest."""
    return next((size for size in sizes if size >= count), -(-count // sizes[-1]) * sizes[-1])


def _check(
    framing: Framing,
    point_coords: np.ndarray | None,
    point_labels: np.ndarray | None,
    boxes: np.ndarray | None,
    mask_inputs: np.ndarray | None,
    text: np.ndarray | None,
) -> None:
    if all(part is None for part in (point_coords, boxes, mask_inputs, text)):
        raise InputError("give at least one prompt: points, a box, a mask or text")
    if (point_coords is None) != (point_labels is None):
        raise InputError("point_coords and point_labels go together: a label for every point")
    if point_coords is not None and point_labels is not None:
        if point_coords.ndim != 3 or point_coords.shape[-1] != 2:
            raise InputError(f"points are x, y pairs; their array has shape {point_coords.shape}")
        if point_coords.shape[:2] != point_labels.shape:
            raise InputError(
                f"{point_coords.shape[1]} points a prompt need as many labels, not an array of shape "
                f"{point_labels.shape}"
            )
        if not np.isin(point_labels, (-1, 0, 1, *_CORNERS)).all():
            raise InputError(
                "point labels are 1 (foreground), 0 (background), 2 and 3 (corners of a box) or -1 (no point)"
            )
        for corner, other in (_CORNERS, _CORNERS[::-1]):
            if ((point_labels == corner).sum(axis=1) != (point_labels == other).sum(axis=1)).any():
                raise InputError(
                    "points labelled 2 and 3 are the two corners of a box: one of each"
                )
    if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise InputError(f"a box is x0, y0, x1, y1; the array of boxes has shape {boxes.shape}")
    if mask_inputs is not None and mask_inputs.shape[1:] != framing.low_size:
        height, width = framing.low_size
        raise InputError(
            f"a mask prompt is low-resolution logits of {height}x{width} (h x w), as predict returns them; "
            f"the array has shape {mask_inputs.shape}"
        )
    counts = {len(x) for x in (point_coords, boxes, mask_inputs, text) if x is not None}
    if len(counts) > 1:
        raise InputError(
            f"points, boxes, masks and text are for different numbers of prompts: {sorted(counts)}"
        )
    for name, values in (("point", point_coords), ("box", boxes), ("mask", mask_inputs)):
        if values is not None and not (np.abs(values) <= LARGEST).all():
            raise InputError(
                f"a {name} prompt holds NaN, infinity or a number beyond ±{LARGEST:,.0f}"
            )
