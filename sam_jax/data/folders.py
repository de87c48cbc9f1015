"""Files of a data set: listing the photos of a folder, and reading one."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sam_jax.data.example import RecordError
from sam_jax.data.hints import Hints
from sam_jax.data.images import decode_image, read_image
from sam_jax.storage import NO_PHOTOS, BucketPath, is_folder
from sam_jax.types import InputError

UPRIGHT = 1
"""The EXIF orientation of a photo that is stored as it looks."""
ORIENTATION_TAG = 0x0112

_TURNS = {
    **{2: (False, False, True), 3: (False, True, True), 4: (False, True, False)},
    **{5: (True, False, False), 6: (True, True, False), 7: (True, True, True)},
    8: (True, False, True),
}
"""How to get from the upright photo to the stored one, by EXIF orientation: swap axes, flip rows, flip columns."""

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def list_files(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Paths of files with one of these endings below a folder, relative to it, sorted; hidden ones are left out.

    Links to folders are followed, and each folder is searched once, however many links lead to it. Pipes and devices
    are no files, and folders of results within the folder (`NO_PHOTOS`) are left out.

    Raises:
        InputError: There is no such folder.
    """
    if not is_folder(folder):
        raise InputError(f"no such folder: {folder}")
    if isinstance(folder, BucketPath):
        return sorted(name for name in _list_shown(folder) if name.lower().endswith(endings))
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, files in _walk(folder)
        for name in files
        if name.lower().endswith(endings) and os.path.isfile(os.path.join(parent, name))
    )


def _list_shown(folder: BucketPath) -> Iterator[str]:
    """Names of the objects below a folder, without hidden ones."""
    return (name for name in folder.list_below() if not f"/{name}".count("/."))


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, itself included, with the names in it that are no folders.

    Hidden ones are left out, and folders of results below it.
    Links are followed last, so that a folder goes by its own name rather than by that of a link to it.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        for parent, folders, files in os.walk(waiting.pop(0)):
            try:
                about = os.stat(parent)
            except OSError:
                folders.clear()
                continue  # it has vanished meanwhile, or may not be looked into
            if (about.st_dev, about.st_ino) in seen:
                folders.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
            if NO_PHOTOS in files and parent != str(folder):
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            paths = (os.path.join(parent, name) for name in folders)
            waiting += [path for path in paths if os.path.islink(path)]
            yield parent, [name for name in files if not name.startswith(".")]


def list_photos(folder: Path) -> list[str]:
    """Paths of the photos below a folder, relative to it, sorted.

    Raises:
        InputError: There is no such folder, or it has no photos.
    """
    photos = list_files(folder, PHOTO_ENDINGS)
    if not photos:
        raise InputError(f"no photos ({', '.join(PHOTO_ENDINGS)}) in {folder}")
    return photos


def has_photo_with_json(folder: Path) -> bool:
    """Whether a photo below a folder has a json file of its name beside it."""
    is_in_bucket = isinstance(folder, BucketPath)
    groups = [[*_list_shown(folder)]] if is_in_bucket else (files for _, files in _walk(folder))
    for files in groups:
        names = set(files)
        if any(
            name.lower().endswith(PHOTO_ENDINGS) and f"{strip_ending(name)}.json" in names
            for name in files
        ):
            return True
    return False


def strip_ending(path: str) -> str:
    """A file's path without its ending (.jpg, ...): the name of a record."""
    return os.path.splitext(path)[0]


class Photo(NamedTuple):
    """A photo as the masks of its data set see it.

    Attributes:
        pixels: RGB pixels.
        note: What a user should know of its orientation; empty for nothing.
        is_on_its_side: Whether the note is about an orientation that swaps height and width.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    note: str = ""
    is_on_its_side: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def notes(self) -> tuple[str, ...]:
        """The note, if there is one and masks of the photo's size have not settled it."""
        is_settled = self.is_on_its_side and self.size[0] != self.size[1]
        return (self.note,) if self.note and not is_settled else ()


def read_photo(path: Path, hints: Hints) -> Photo:
    """Read a photo of a data set: upright, or as it is stored where the hints say so.

    Raises:
        RecordError: The photo cannot be read.
    """
    try:
        pixels = read_image(path)
    except InputError as error:
        raise RecordError(str(error)) from error
    orientation = read_orientation(path)
    if orientation == UPRIGHT or hints.orientation == "upright":
        return Photo(pixels)
    if hints.orientation == "stored":
        return Photo(_turn_back(pixels, orientation))
    note = (
        f"{path} is turned by its EXIF orientation {orientation}, and its masks are taken as drawn on the upright "
        f'photo; if they were drawn on the stored one, write orientation = "stored" into {hints.place}, '
        'else "upright"'
    )
    return Photo(pixels, note, _TURNS[orientation][0])


def read_orientation(path: Path) -> int:
    """The EXIF orientation of a photo; 1, upright, where there is none or it cannot be read."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as file,
            Image.open(file) as image,
        ):
            orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except Exception:  # as for damaged metadata in `read_image`, which shows such a photo as stored
        return UPRIGHT
    return orientation if orientation in _TURNS else UPRIGHT


def _turn_back(
    upright: UInt8[np.ndarray, "upright_h upright_w 3"], orientation: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A photo's stored pixels."""
    transpose, flip_y, flip_x = _TURNS[orientation]
    pixels = upright.swapaxes(0, 1) if transpose else upright
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def decode_photo(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a photo that lies inside another file, upright.

    Args:
        encoded: Content of an image file.
        name: What error messages call the photo.

    Raises:
        RecordError: The photo cannot be decoded.
    """
    try:
        return decode_image(encoded, name)
    except InputError as error:
        raise RecordError(str(error)) from error
