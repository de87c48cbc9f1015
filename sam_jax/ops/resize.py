"""Resizing as PyTorch's `interpolate(align_corners=False)` does it: without antialias, bilinear or bicubic.

`jax.image.resize` antialiases when it shrinks; SAM's masks and positional tables are resized without. Resizing is
linear and separable, so it is a matrix for each axis, and two steps in a row are one matrix.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sam_jax.types import AnyArray, InputError


def bilinear_matrix(size_in: int, size_out: int) -> Float[np.ndarray, "out in"]:
    """The matrix that resizes a vector of `size_in` samples to `size_out`."""
    centres = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
    centres = np.clip(centres, 0, size_in - 1)
    lower = np.floor(centres).astype(int)
    upper = np.minimum(lower + 1, size_in - 1)
    fraction = centres - lower
    matrix = np.zeros((size_out, size_in))
    rows = np.arange(size_out)
    np.add.at(matrix, (rows, lower), 1 - fraction)
    np.add.at(matrix, (rows, upper), fraction)
    return matrix.astype(np.float32)


def cubic_matrix(size_in: int, size_out: int) -> Float[np.ndarray, "out in"]:
    """The matrix that resizes a vector of `size_in` samples as PyTorch's `mode="bicubic"` does.

    Source: [Keys 1981](https://doi.org/10.1109/TASSP.1981.1163711), with -0.75 for the free parameter.
    """
    centres = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
    lower = np.floor(centres).astype(int)
    rows = np.arange(size_out)
    matrix = np.zeros((size_out, size_in))
    for neighbour in (-1, 0, 1, 2):
        distance = np.abs(centres - lower - neighbour)
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
        weights = np.where(distance <= 1, near, far)
        np.add.at(matrix, (rows, np.clip(lower + neighbour, 0, size_in - 1)), weights)
    return matrix.astype(np.float32)


def fit_size(height: int, width: int, frame: tuple[int, int]) -> tuple[int, int]:
    """Size (h, w) that an image is resized to, so that it just fits into the frame and keeps its proportions.

    For a square frame this is the official rule: the longest side becomes the frame's, the other is rounded.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        frame: Size (h, w) of the model's padded input.

    Raises:
        InputError: The image is so thin that a side would vanish.
    """
    scale = min(frame[0] / height, frame[1] / width)
    fitted = (int(height * scale + 0.5), int(width * scale + 0.5))
    if min(fitted) < 1:
        raise InputError(
            f"the image is too thin: {width}x{height} pixels shrink to {fitted[1]}x{fitted[0]} "
            f"in the model's {frame[1]}x{frame[0]} input; crop it into less extreme pieces"
        )
    return fitted


class MaskResize(NamedTuple):
    """The two official steps from low-resolution logits to an image's pixels, folded into one.

    The logits are enlarged to the padded frame, cropped to the resized image, and resized to the original image.
    Rows and columns beyond the image repeat the last one, so that images of similar size share one compiled program.

    Attributes:
        columns: Matrix that mixes columns of the logits into columns of the image.
        first_row: First of the three neighbouring rows of the logits that each row of the image mixes.
        row_weights: Weights of those three rows.
    """

    columns: Float[AnyArray, "w_low w"]
    first_row: Int[AnyArray, " h"]
    row_weights: Float[AnyArray, "3 h"]


TAPS = 3
"""Rows of the logits that one row of the image depends on: two neighbours in a frame at least twice as fine."""


def plan_mask_resize(
    low_size: tuple[int, int],
    frame: tuple[int, int],
    fitted: tuple[int, int],
    image_size: tuple[int, int],
    padded_size: tuple[int, int] | None = None,
) -> MaskResize:
    """Compute the weights that resize logits to an image; all sizes are (h, w), in pixels.

    Args:
        low_size: Size of the logits.
        frame: Size of the model's padded input.
        fitted: Size of the resized image inside the padded input.
        image_size: Size of the original image.
        padded_size: Size of the result, at least `image_size`; the default is `image_size`.
    """
    padded_size = padded_size or image_size

    def matrix(axis: int) -> np.ndarray:
        enlarge = bilinear_matrix(low_size[axis], frame[axis])[: fitted[axis]]
        exact = bilinear_matrix(fitted[axis], image_size[axis]) @ enlarge
        return np.pad(exact, ((0, padded_size[axis] - image_size[axis]), (0, 0)), mode="edge")

    rows, columns = matrix(0), matrix(1)
    first = np.minimum(np.argmax(rows != 0, axis=1), low_size[0] - TAPS)
    weights = np.take_along_axis(rows, first[:, None] + np.arange(TAPS), axis=1)
    return MaskResize(
        columns=np.ascontiguousarray(columns.T),
        first_row=first.astype(np.int32),
        row_weights=np.ascontiguousarray(weights.T),
    )


def resize_masks(
    logits: Float[AnyArray, "*batch h_low w_low"], plan: MaskResize
) -> Float[Array, "*batch h w"]:
    """Resize logits to the image that `plan_mask_resize` was called for."""
    wide = jnp.asarray(logits) @ plan.columns
    column_of_rows = (1,) * (logits.ndim - 2) + (-1, 1)
    terms = (
        jnp.take(wide, plan.first_row + tap, axis=-2, mode="clip")
        * plan.row_weights[tap].reshape(column_of_rows)
        for tap in range(TAPS)
    )
    return functools.reduce(jnp.add, terms)
