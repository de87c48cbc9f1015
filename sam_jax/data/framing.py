"""From a photo's pixels to the model's input frame: resizing, padding, normalising, coordinates."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8
from PIL import Image

from sam_jax.ops.resize import fit_size
from sam_jax.types import AnyArray

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""Of ImageNet's red, green and blue, on the scale of 0 to 255."""


class Framing(NamedTuple):
    """Where an image lies in the model's input; all sizes are (h, w).

    Attributes:
        original: the image as it came.
        fitted: the image as it was resized; it starts in the frame's upper left corner.
        frame: the model's padded input.
    """

    original: tuple[int, int]
    fitted: tuple[int, int]
    frame: tuple[int, int]

    def to_frame(self, points_xy: Float[np.ndarray, "*shape 2"]) -> Float[np.ndarray, "*shape 2"]:
        """Coordinates in the original image, in pixels, as coordinates in the frame."""
        scale = (self.fitted[1] / self.original[1], self.fitted[0] / self.original[0])
        return (np.asarray(points_xy, np.float64) * np.asarray(scale)).astype(np.float32)

    @property
    def transposed(self) -> "Framing":
        """The same with rows and columns exchanged."""
        (height, width), (fitted_h, fitted_w), (frame_h, frame_w) = self
        return Framing((width, height), (fitted_w, fitted_h), (frame_w, frame_h))

    @property
    def low_size(self) -> tuple[int, int]:
        """Of low-resolution logits: a quarter of the frame."""
        return self.frame[0] // 4, self.frame[1] // 4


def frame_image(
    image: UInt8[np.ndarray, "h w 3"], frame: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "frame_h frame_w 3"], Framing]:
    """Resizes an image to just fit the frame (bilinear, antialiased, 8 bits, as Pillow does); fills up with zeros.

    Raises:
        InputError: the image is so thin that a side would vanish.
    """
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
    """The encoder's input: colours normalised; zero, which is not black, beyond the fitted image (h, w)."""
    mean, std = (jnp.asarray(x, jnp.float32).reshape(1, 1, 1, 3) for x in (PIXEL_MEAN, PIXEL_STD))
    rows, columns = jnp.arange(framed.shape[1]), jnp.arange(framed.shape[2])
    inside: Bool[Array, "b h w"] = (rows[None, :, None] < fitted[:, 0, None, None]) & (
        columns[None, None, :] < fitted[:, 1, None, None]
    )
    return jnp.where(inside[..., None], (framed.astype(jnp.float32) - mean) / std, 0.0)
