"""What a data set's files don't tell, and its owner does: a file `sam_jax.toml` beside them.

orientation = "stored"   # masks were drawn on photos as they are stored, not turned by their EXIF orientation
background = 255         # the label of what is no object, if it isn't 0; of coloured maps "#ffffff"
void = [255]             # labels of pixels that nobody decided about, which are no objects; [] for none
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sam_jax.storage import locate
from sam_jax.types import InputError

HINTS_FILE = "sam_jax.toml"


class Hints(NamedTuple):
    """What a user has told of a data set; None where nothing was told.

    Attributes:
        place: Path of the file of hints, whether there is one or not.
        orientation: Whether masks were drawn on photos as they look, upright, or as their pixels are stored.
        background: Label of the background in label maps.
        void: Labels of pixels that belong neither to an object nor to the background.
    """

    place: Path
    orientation: Literal["upright", "stored"] | None = None
    background: int | None = None
    void: tuple[int, ...] | None = None


def read_hints(*places: Path) -> Hints:
    """Read the hints for a data set.

    Args:
        places: Its folders and files; the hints lie in the innermost folder that holds all of them, or above the
            photos in it.

    Raises:
        InputError: The file of hints cannot be read, or says something else.
    """
    top = locate(os.path.commonpath([place.absolute() for place in places]))
    path = (top.parent if top.is_file() else top) / HINTS_FILE
    if not path.is_file():
        return Hints(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
    if unknown := sorted(set(told) - set(Hints._fields[1:])):
        raise InputError(
            f"{path}: {unknown[0]} is not known; it says {', '.join(Hints._fields[1:])}"
        )
    orientation = told.get("orientation")
    if orientation not in (None, "upright", "stored"):
        raise InputError(f'{path}: orientation is "upright" or "stored", not {orientation!r}')
    void = told.get("void")
    if not isinstance(void, list | None):
        raise InputError(f"{path}: void is a list of labels, as in void = [255]")
    return Hints(
        path,
        orientation,
        None if "background" not in told else _read_label(path, told["background"]),
        None if void is None else tuple(_read_label(path, label) for label in void),
    )


def _read_label(path: Path, label: Any) -> int:
    """A label, or the number by which the label maps of colours know a colour."""
    try:
        if isinstance(label, str) and label.startswith("#") and len(label) == 7:
            return int(label[1:], 16)
        if type(label) is int and label >= 0:
            return label
    except ValueError:
        pass
    raise InputError(
        f'{path}: {label!r} is no label: give a number from 0, or a colour like "#ffffff"'
    )
