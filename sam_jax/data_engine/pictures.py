"""Photos in memory, and their tiles: what a browser needs to show photos of any size."""

import io
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sam_jax.data.images import read_image
from sam_jax.types import InputError

TILE_SIDE = 512
"""Side of a tile in pixels."""
TILE_QUALITY = 92
_MOST_BYTES = 1 << 30


class PhotoFile(NamedTuple):
    """What tells whether a file is still the one that was read.

    Attributes:
        file_size: Size of the file in bytes.
        modified_ns: Time of its last change, in nanoseconds.
    """

    file_size: int
    modified_ns: int


def inspect_file(path: Path) -> PhotoFile:
    """Look at a file without reading it.

    Raises:
        InputError: It is not there.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise InputError(f"{path.name} is not there any more: {error.strerror}") from error
    return PhotoFile(about.st_size, about.st_mtime_ns)


class Picture:
    """A photo in memory, with smaller versions of it, each half as wide and high as the one before.

    Args:
        pixels: RGB pixels of the photo.

    Attributes:
        levels: The photo, and its smaller versions.
    """

    def __init__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        self.levels = [pixels]
        while max(self.levels[-1].shape[:2]) > TILE_SIDE:
            smaller = Image.fromarray(self.levels[-1]).reduce(2)
            self.levels.append(np.asarray(smaller))

    @property
    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        """RGB pixels of the photo at its own size."""
        return self.levels[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(level.nbytes for level in self.levels)

    def encode_tile(self, level: int, column: int, row: int) -> bytes | None:
        """A part of the photo as JPEG.

        Args:
            level: How often the photo is halved.
            column: Number of the tile from the left.
            row: Number of the tile from above.

        Returns:
            Content of the file; None if there is no such tile.
        """
        if level >= len(self.levels):
            return None
        left, top = column * TILE_SIDE, row * TILE_SIDE
        part = self.levels[level][top : top + TILE_SIDE, left : left + TILE_SIDE]
        if not part.size:
            return None
        file = io.BytesIO()
        Image.fromarray(part).save(file, "JPEG", quality=TILE_QUALITY, subsampling=0)
        return file.getvalue()


class Pictures:
    """The photos that were used last, as many as fit."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._keeping = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}

    def read(self, path: Path, key: str) -> Picture:
        """A photo, from memory or from its file.

        Args:
            path: Path of the photo.
            key: Name of the photo and its version.

        Raises:
            InputError: The photo cannot be read.
        """
        with self._keeping:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._keeping:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            picture = Picture(read_image(path))
            with self._keeping:
                self._kept[key] = picture
                while (
                    len(self._kept) > 1 and sum(p.nbytes for p in self._kept.values()) > _MOST_BYTES
                ):
                    self._kept.popitem(last=False)
                self._reading.pop(key, None)
        return picture
