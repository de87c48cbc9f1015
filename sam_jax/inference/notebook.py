"""A photo with masks, as a picture that a notebook shows."""

from typing import Any, cast

import numpy as np
from PIL import Image

from sam_jax.inference.overlay import check_masks, draw_everything, draw_overlay
from sam_jax.ops.arguments import check_image, check_numbers
from sam_jax.ops.rle import Rle, decode_rle


def show(
    image: np.ndarray,
    masks: Any,
    *,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
) -> Image.Image:
    """Draw masks on a photo, as a picture that a notebook shows when it is the last line of a cell.

    Masks of a predictor are tinted and outlined, later ones over earlier ones. The records of an automatic generator
    are painted like a map, each pixel in the colour of the smallest mask that covers it. `draw_overlay` gives an array
    of the first kind of picture.

    Args:
        image: RGB photo of height x width x 3 bytes.
        masks: Masks of the photo's size, an array of (h, w), (m, h, w) or (n, m, h, w), or records of
            `SamAutomaticMaskGenerator.generate`.
        points: Clicks x, y in pixels of the photo.
        labels: Label of each click: 1 for foreground, 0 for background.
        boxes: Boxes x0, y0, x1, y1 in pixels of the photo.

    Returns:
        A picture of the photo's size; `save(path)` writes it to a file.

    Raises:
        InputError: The image is not an RGB image, or the masks have another size.
    """
    pixels = check_image(image)
    if isinstance(masks, list) and all(isinstance(record, dict) for record in masks):
        return Image.fromarray(draw_everything(pixels, [_mask_of(record) for record in masks]))
    drawn = check_masks(masks, pixels.shape[:2])
    return Image.fromarray(
        draw_overlay(
            pixels,
            drawn.reshape(-1, *pixels.shape[:2]),
            points=None if points is None else check_numbers("points", points, (None, 2)),
            labels=None if labels is None else check_numbers("labels", labels, (None,)).astype(int),
            boxes=None if boxes is None else check_numbers("boxes", boxes, (None, 4)),
        )
    )


def _mask_of(record: dict[str, Any]) -> np.ndarray:
    """The mask of a record, in whichever form the generator was asked for."""
    segmentation = record["segmentation"]
    return decode_rle(cast(Rle, segmentation)) if isinstance(segmentation, dict) else segmentation
