"""The folder that --output names, and names in it."""

import os
from pathlib import Path

from sam_jax.storage import exists, is_folder
from sam_jax.types import InputError

LONGEST_NAME = 255
"""Bytes of the longest name of a file or folder on common file systems."""


def check_output_folder(folder: Path) -> None:
    """Refuse early what cannot become the folder of the results.

    Raises:
        InputError: The path is that of a file, or has a name that no folder can have.
    """
    too_long = [part for part in folder.parts if len(os.fsencode(part)) > LONGEST_NAME]
    if too_long:
        raise InputError(
            f"--output: a name of {len(too_long[0])} characters is too long; {LONGEST_NAME} bytes are possible"
        )
    if exists(folder) and not is_folder(folder):
        raise InputError(f"--output {folder} is a file; name a folder")


def check_photo_name(photo: Path) -> None:
    """Refuse early a photo after which no mask can be named.

    Raises:
        InputError: The name is too long for another ending.
    """
    if len(os.fsencode(photo.stem)) > LONGEST_NAME - len("_mask_00000.png"):
        raise InputError(
            f"the name of the photo, {photo.name[:20]}..., is too long for masks to be named after it: rename it"
        )
