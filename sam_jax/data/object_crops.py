"""Crops around objects, as CLIP's image tower takes them.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), appendix D.5.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from sam_jax.ops.arguments import check_image, check_number
from sam_jax.types import InputError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of each colour of CLIP's images, from 0 to 1."""
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of each colour of CLIP's images, from 0 to 1."""


class CropBox(NamedTuple):
    """A part of a photo, in its pixels; it may reach beyond the photo.

    Attributes:
        left: Left edge.
        top: Upper edge.
        width: Width.
        height: Height.
    """

    left: float
    top: float
    width: float
    height: float


class ObjectCrop(NamedTuple):
    """What CLIP sees of an object.

    Attributes:
        pixels: Crop of CLIP's image size, normalised.
        patches: Patches that the object reaches into.
    """

    pixels: Float[np.ndarray, "h w 3"]
    patches: Bool[np.ndarray, "gh gw"]


def find_crop(
    mask: Bool[np.ndarray, "h w"], growth: float | int = 1.0, aspect: float | int = 1.0
) -> CropBox:
    """The part of a photo around an object: the box of its mask, grown about its centre, and made square.

    Args:
        mask: Pixels of the object.
        growth: Factor by which the longer side of the box grows, at least 1.
        aspect: Width of the crop divided by its height.

    Raises:
        InputError: The mask is empty.

    >>> mask = np.zeros((8, 10), bool)
    >>> mask[2:4, 3:7] = True
    >>> find_crop(mask, growth=1.5)
    CropBox(left=2.0, top=0.0, width=6.0, height=6.0)
    """
    check_number("growth", growth, least=1)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        raise InputError("an object has pixels; this mask is empty")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height = growth * max(float(bottom - top), float(right - left) / aspect)
    width = aspect * height
    return CropBox(
        float(left + right) / 2 - width / 2, float(top + bottom) / 2 - height / 2, width, height
    )


def crop_object(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
    size: tuple[int, int],
    patch_size: int,
    *,
    growth: float | int = 1.0,
    zero_background: bool = False,
) -> ObjectCrop:
    """Crop a photo around an object, resize the crop as CLIP does, bicubically, and normalise it.

    What lies beyond the photo is black, as is the background where it is left out.

    Args:
        image: RGB photo.
        mask: Pixels of the object.
        size: Size (h, w) of CLIP's images.
        patch_size: Side of CLIP's patches in pixels.
        growth: Factor by which the object's box grows, at least 1.
        zero_background: Whether all pixels outside the mask become black.

    Raises:
        InputError: The mask is empty.
    """
    image = check_image(image)
    height, width = size
    box = find_crop(mask, growth, width / height)
    # Whole pixels around the crop, those beyond the photo included.
    top, left = math.floor(box.top), math.floor(box.left)
    bottom, right = math.ceil(box.top + box.height), math.ceil(box.left + box.width)
    inside = (
        slice(max(top, 0), min(bottom, image.shape[0])),
        slice(max(left, 0), min(right, image.shape[1])),
    )
    place = (
        slice(inside[0].start - top, inside[0].stop - top),
        slice(inside[1].start - left, inside[1].stop - left),
    )
    photo = np.zeros((bottom - top, right - left, 3), np.uint8)
    object_ = np.zeros(photo.shape[:2], np.float32)
    object_[place] = mask[inside]
    photo[place] = image[inside] * mask[inside][..., None] if zero_background else image[inside]
    part = (box.left - left, box.top - top, box.left - left + box.width, box.top - top + box.height)
    resized = Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC, box=part)
    grid = (width // patch_size, height // patch_size)
    covered = Image.fromarray(object_).resize(grid, Image.Resampling.BOX, box=part)
    return ObjectCrop(normalise_for_clip(np.asarray(resized)), np.asarray(covered) > 0)


def normalise_for_clip(image: UInt8[np.ndarray, "*n h w 3"]) -> Float[np.ndarray, "*n h w 3"]:
    """Images of CLIP's size as its image tower takes them."""
    mean, std = (np.asarray(colours, np.float32) for colours in (CLIP_MEAN, CLIP_STD))
    return (image.astype(np.float32) / np.float32(255) - mean) / std
