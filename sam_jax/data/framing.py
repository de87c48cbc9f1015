"""From a photo's pixels to the model's padded input: resizing, padding, normalising, coordinates."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8
from PIL import Image

from sam_jax.ops.arguments import check_image, check_size
from sam_jax.ops.resize import fit_size
from sam_jax.types import AnyArray

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""Mean and standard deviation of ImageNet's red, green and blue, on the scale of 0 to 255."""


class Framing(NamedTuple):
    """The place of an image in the model's padded input; all sizes are (h, w), in pixels.

    Attributes:
        original: Size of the original image.
        fitted: Size of the resized image, which starts in the upper left corner of the padded input.
        frame: Size of the padded input.
    """

    original: tuple[int, int]
    fitted: tuple[int, int]
    frame: tuple[int, int]

    def to_frame(self, points_xy: Float[np.ndarray, "*shape 2"]) -> Float[np.ndarray, "*shape 2"]:
        """Coordinates in the padded input of points x, y in pixels of the original image."""
        scale = (self.fitted[1] / self.original[1], self.fitted[0] / self.original[0])
        return (np.asarray(points_xy, np.float64) * np.asarray(scale)).astype(np.float32)

    @property
    def transposed(self) -> "Framing":
        """This framing with rows and columns exchanged."""
        (height, width), (fitted_h, fitted_w), (frame_h, frame_w) = self
        return Framing((width, height), (fitted_w, fitted_h), (frame_w, frame_h))

    @property
    def low_size(self) -> tuple[int, int]:
        """Size (h, w) of low-resolution logits: a quarter of the padded input."""
        return self.frame[0] // 4, self.frame[1] // 4


def frame_image(
    image: UInt8[np.ndarray, "h w 3"], frame: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "frame_h frame_w 3"], Framing]:
    """Resize an image so that it just fits into the frame, and pad it with zeros.

    Resizing is Pillow's: bilinear, antialiased, on 8 bits, as official SAM does it.

    Args:
        image: RGB image.
        frame: Size (h, w) of the model's padded input.

    Raises:
        InputError: It is no RGB image, or so thin that a side would vanish.
    """
    image, frame = check_image(image), check_size("the frame", frame)
    height, width = image.shape[:2]
    fitted = fit_size(height, width, frame)
    resized = Image.fromarray(np.ascontiguousarray(image)).resize(
        (fitted[1], fitted[0]), Image.Resampling.BILINEAR
    )
    framed = np.zeros((*frame, 3), np.uint8)
    framed[: fitted[0], : fitted[1]] = np.asarray(resized)
    return framed, Framing((height, width), fitted, frame)


def normalise(
    framed: UInt8[AnyArray, "b h w 3"], fitted: Int[AnyArray, "b 2"]
) -> Float[Array, "b h w 3"]:
    """The encoder's input: normalised colours, and zeros, which are not black, in the padding.

    Args:
        framed: Padded images with 8 bits a channel.
        fitted: Size (h, w) of each image without its padding.
    """
    mean, std = (jnp.asarray(x, jnp.float32).reshape(1, 1, 1, 3) for x in (PIXEL_MEAN, PIXEL_STD))
    rows, columns = jnp.arange(framed.shape[1]), jnp.arange(framed.shape[2])
    inside: Bool[Array, "b h w"] = (rows[None, :, None] < fitted[:, 0, None, None]) & (
        columns[None, None, :] < fitted[:, 1, None, None]
    )
    return jnp.where(inside[..., None], (framed.astype(jnp.float32) - mean) / std, 0.0)
