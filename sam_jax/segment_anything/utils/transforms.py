"""Photos and coordinates, from the photo to the model's padded input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from sam_jax.segment_anything.tensors import Tensor, compute, is_tensor, torch


class ResizeLongestSide:
    """Resizes photos so that the longer side has a given length, and coordinates with them.

    Args:
        target_length: Length of the longer side in pixels.

    Attributes:
        target_length: Length of the longer side in pixels.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """The resized photo: bilinear, antialiased, on bytes.

        Args:
            image: Photo h × w × 3 with 8 bits a colour.
        """
        height, width = self._fit(image.shape[:2])
        photo = Image.fromarray(np.ascontiguousarray(image))
        return np.array(photo.resize((width, height), Image.Resampling.BILINEAR))

    def apply_coords(self, coords: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """Coordinates in the resized photo.

        Args:
            coords: Points x, y along the last axis, in pixels of the photo.
            original_size: Height and width of the photo.
        """
        return np.asarray(coords).astype(np.float64) * np.array(self._scale(original_size))

    def apply_boxes(self, boxes: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """Boxes n × 4 in the resized photo.

        Args:
            boxes: Boxes x0, y0, x1, y1 in pixels of the photo.
            original_size: Height and width of the photo.
        """
        corners = np.asarray(boxes).reshape(-1, 2, 2)
        return self.apply_coords(corners, original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resized photos: bilinear, antialiased, on floating-point numbers, so not quite those of `apply_image`.

        Args:
            image: Photos b × 3 × h × w.
        """
        height, width = self._fit(image.shape[2:])

        def resize(pixels: Any) -> tuple[jax.Array]:
            size = (*pixels.shape[:2], height, width)
            return (jax.image.resize(jnp.asarray(pixels, jnp.float32), size, "linear"),)

        return compute(resize, [image])[0]

    def apply_coords_torch(self, coords: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Coordinates in the resized photo, in float32.

        Args:
            coords: Points x, y along the last axis, in pixels of the photo.
            original_size: Height and width of the photo.
        """
        scale = self._scale(original_size)
        if is_tensor(coords):
            return coords.to(torch.float) * torch.tensor(scale, device=coords.device)
        return np.asarray(coords, np.float32) * np.array(scale, np.float32)

    def apply_boxes_torch(self, boxes: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Boxes n × 4 in the resized photo, in float32.

        Args:
            boxes: Boxes x0, y0, x1, y1 in pixels of the photo.
            original_size: Height and width of the photo.
        """
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """Height and width of the resized photo.

        Args:
            oldh: Height of the photo.
            oldw: Width of the photo.
            long_side_length: Length of the longer side of the resized photo.
        """
        scale = long_side_length / max(oldh, oldw)
        return int(oldh * scale + 0.5), int(oldw * scale + 0.5)

    def _fit(self, size: Any) -> tuple[int, int]:
        height, width = size
        return self.get_preprocess_shape(height, width, self.target_length)

    def _scale(self, original_size: tuple[int, ...]) -> tuple[float, float]:
        height, width = self._fit(original_size)
        return width / original_size[1], height / original_size[0]
