"""Photos with a label map each: BBBC038's nuclei, DAVIS' frames, and any other data set in this form."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image, UnidentifiedImageError

from sam_jax.data.example import Example, LabelMasks, RecordError, check_size
from sam_jax.data.folders import list_files, list_photos, read_photo, strip_ending
from sam_jax.types import InputError

LABEL_ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Endings of lossless formats; JPEG would blur one label into another."""


class LabelMapFolder:
    """A source: a folder of photos, and a folder of label maps with the same names.

    The value of a pixel in a label map says which object the pixel belongs to; 0 (black) is the background. So a mask
    of 0 and 255 is one object.

    Args:
        photos: Folder of the photos.
        labels: Folder of the label maps.

    Raises:
        InputError: A folder is missing, there are no photos, or a photo has two label maps.
    """

    def __init__(self, photos: Path, labels: Path) -> None:
        self._photo_folder = photos
        self._label_folder = labels
        self.photos = list_photos(photos)
        self._labels = {}
        for path in list_files(labels, LABEL_ENDINGS):
            if strip_ending(path) in self._labels:
                raise InputError(
                    f"two label maps of one name in {labels}: {path} and {self._labels[strip_ending(path)]}"
                )
            self._labels[strip_ending(path)] = path

    @property
    def name(self) -> str:
        """Path of the folder of photos."""
        return str(self._photo_folder)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Example:
        path = self._photo_folder / self.photos[index]
        name = strip_ending(self.photos[index])
        if name not in self._labels:
            raise RecordError(f"{path}: no map {name}.png in {self._label_folder}")
        photo = read_photo(path)
        label_path = self._label_folder / self._labels[name]
        labels = read_labels(label_path)
        check_size(str(label_path), labels.shape, photo.shape[:2])
        return Example(str(path), photo, LabelMasks(labels))


def read_labels(path: Path) -> Integer[np.ndarray, "h w"]:
    """Read a label map: grey levels, indices into a palette, or one number for each colour.

    Raises:
        RecordError: The file is no image, is damaged, or holds floating-point numbers.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
                return np.asarray(image).astype(np.int32)
            if image.mode not in ("RGB", "RGBA"):
                raise RecordError(f"{path} is not a map of labels: its pixels are {image.mode}")
            return np.asarray(image.convert("RGB")).astype(np.int32) @ np.array(
                [1 << 16, 1 << 8, 1], np.int32
            )
    except UnidentifiedImageError as error:
        raise RecordError(f"{path} is not an image in a known format (PNG, TIFF, ...)") from error
    except RecordError:
        raise
    # As in `read_image`: decoders raise whatever they like.
    except Exception as error:
        raise RecordError(f"{path} is a truncated or damaged image: {error}") from error
