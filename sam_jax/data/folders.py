"""Files of a data set: listing the photos of a folder, and reading one."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.example import RecordError
from sam_jax.data.images import decode_image, read_image
from sam_jax.types import InputError

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")


def list_files(folder: Path, endings: tuple[str, ...]) -> list[str]:
    """Paths of files with one of these endings below a folder, relative to it, sorted; hidden ones are left out.

    Links to folders are followed, and each folder is searched once, however many links lead to it. Pipes and devices
    are no files.

    Raises:
        InputError: There is no such folder.
    """
    if not os.path.isdir(folder):
        raise InputError(f"no such folder: {folder}")
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, files in _walk(folder)
        for name in files
        if name.lower().endswith(endings) and os.path.isfile(os.path.join(parent, name))
    )


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder below one, itself included, with the names in it that are no folders; hidden ones are left out.

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
    for _, files in _walk(folder):
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


def read_photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo of a data set, upright.

    Raises:
        RecordError: The photo cannot be read.
    """
    try:
        return read_image(path)
    except InputError as error:
        raise RecordError(str(error)) from error


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
