"""Opening a data set by its path, in whichever of the known forms it is."""

import difflib
import functools
import mmap
import os
from collections.abc import Callable
from pathlib import Path

from sam_jax.data.annotation_database import ENDINGS, SERVER, AnnotationDatabase
from sam_jax.data.array_record import FEATURES_FILE, ArrayRecordSource, find_version_folder
from sam_jax.data.bsds500 import Bsds500Boundaries, Bsds500Folder
from sam_jax.data.coco import CocoJson
from sam_jax.data.drawn import DrawnSource
from sam_jax.data.example import Source
from sam_jax.data.folders import has_photo_with_json
from sam_jax.data.label_maps import LabelMapFolder
from sam_jax.data.photos import PhotoFolder
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.storage import BucketPath, exists, is_folder, locate
from sam_jax.types import InputError

SYNTHETIC = "synthetic"
DRAWN, DRAWN_NEW = "drawn", "drawn-new"
"""Drawings that phrases fit, as training sees them, and with combinations of words that it never sees."""

_DRAWN_BY_US: dict[str, Callable[..., Source]] = {
    SYNTHETIC: SyntheticSource,
    DRAWN: DrawnSource,
    DRAWN_NEW: functools.partial(DrawnSource, held_back=True),
}

LABEL_MAP_FOLDERS = (("images", "labels"), ("images", "masks"), ("JPEGImages", "Annotations"))
"""Names of the folders of photos and of maps: BBBC038's, our copies of DAVIS', DAVIS' own."""

GENERATED = "sa1b"
"""Name of the folder of photos and json files in the output of `sam-jax generate`."""

BSDS500_FOLDERS = (("images", "ground_truth"), ("images", "groundTruth"))

FORMS = (
    "photos with a .json each beside them (SA-1B)",
    "a COCO or LVIS .json",
    "images/ with labels/ or masks/, or JPEGImages/ with Annotations/ (BBBC038, DAVIS)",
    "images/ with ground_truth/ or groundTruth/ (BSDS500)",
    f"{FEATURES_FILE} with ArrayRecord files (TFDS)",
    f"the database of `sam-jax annotate` ({', '.join(ENDINGS)}, {SERVER}://...)",
    f"`{SYNTHETIC}`, `{DRAWN}` or `{DRAWN_NEW}`, or one of them with a seed, as in `{SYNTHETIC}:0`",
)


def open_source(place: str | Path) -> Source:
    """Open a data set in whichever of the known forms it is.

    A part of one is named by its folder of photos: `BSDS500/images/train`, `DAVIS/JPEGImages/480p/camel`.

    Args:
        place: Folder, COCO or LVIS json file, on a disk or in a bucket, database of annotations, `synthetic:SEED`,
            `drawn:SEED` or `drawn-new:SEED`.

    Raises:
        InputError: There is nothing, or it has none of the forms, or it cannot be read.
    """
    kind, _, seed = str(place).partition(":")
    if kind in _DRAWN_BY_US and (seed or ":" not in str(place)) and not os.path.exists(place):
        if not (seed or "0").isdecimal():
            raise InputError(f"{place}: the seed is a whole number, as in {kind}:0")
        return _DRAWN_BY_US[kind](seed=int(seed or 0))
    if kind.partition("+")[0] == SERVER:
        return AnnotationDatabase(str(place))
    path = locate(place)
    if not exists(path):
        raise InputError(f"no such file or folder: {place}{_suggest(path)}")
    if path.is_file():
        if path.suffix in ENDINGS:
            return AnnotationDatabase(str(path))
        if path.suffix != ".json":
            raise InputError(f"{path} is a file; give a folder, or a COCO or LVIS .json")
        return CocoJson(path)
    if not path.is_dir():
        raise InputError(f"{path} is a pipe or a device; give a folder, or a COCO or LVIS .json")
    open_form = _recognise(path)
    if open_form is None:
        raise InputError(
            f"{path} has none of the known forms: {'; '.join(FORMS)}{_suggest_below(path)}"
        )
    return open_form()


def open_photos(place: str | Path) -> Source:
    """Open photos to learn from without masks: a data set in any of the known forms, or else any folder of photos.

    Args:
        place: Folder, COCO or LVIS json file, or `synthetic:SEED`.

    Raises:
        InputError: There is nothing, or no photo.
    """
    path = locate(place)
    if is_folder(path) and _recognise(path) is None:
        return PhotoFolder(path)
    return open_source(place)


def open_boundaries(place: str | Path) -> Bsds500Boundaries:
    """Open a data set of photos in which people drew boundaries, or a part of it, such as `BSDS500/images/val`.

    Raises:
        InputError: There is nothing, or it is not in BSDS500's form.
    """
    folder = locate(place)
    if not is_folder(folder):
        raise InputError(f"no such folder: {place}{_suggest(folder)}")
    pair = _find_pair(folder, BSDS500_FOLDERS)
    if pair is None:
        raise InputError(
            f"{place} is not in BSDS500's form, images/ with ground_truth/ or groundTruth/"
        )
    return Bsds500Boundaries(*pair)


def _recognise(folder: Path) -> Callable[[], Source] | None:
    """The function that opens a folder; None if the folder has none of the known forms."""
    if find_version_folder(folder):
        return functools.partial(ArrayRecordSource, folder)
    if (folder / GENERATED).is_dir() and has_photo_with_json(folder / GENERATED):
        return functools.partial(Sa1bFolder, folder / GENERATED)
    if pair := _find_pair(folder, BSDS500_FOLDERS):
        return functools.partial(Bsds500Folder, *pair)
    if pair := _find_pair(folder, LABEL_MAP_FOLDERS):
        return functools.partial(LabelMapFolder, *pair)
    if has_photo_with_json(folder):
        return functools.partial(Sa1bFolder, folder)
    if files := [path for path in _list_json(folder) if _mentions_images(path)]:
        return functools.partial(_open_only_coco, files)
    return None


def _find_pair(folder: Path, names: tuple[tuple[str, str], ...]) -> tuple[Path, Path] | None:
    """The folders of photos and of truth: both below the given folder, or the given one is (in) that of photos."""
    for photos, truth in names:
        if (folder / photos).is_dir() and (folder / truth).is_dir():
            return folder / photos, folder / truth
        for parent in (folder, *folder.absolute().parents):
            if parent.name == photos and (parent.parent / truth).is_dir():
                return folder, parent.parent / truth / folder.absolute().relative_to(
                    parent.absolute()
                )
    return None


def _list_json(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])


def _mentions_images(path: Path) -> bool:
    """Whether a json file seems to be in COCO's form, without parsing what can be half a gigabyte."""
    if isinstance(path, BucketPath):
        return b'"images"' in path.read_bytes()
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return text.find(b'"images"') >= 0


def _open_only_coco(files: list[Path]) -> CocoJson:
    if len(files) > 1:
        raise InputError(f"several COCO files: name one of {', '.join(map(str, files))}")
    return CocoJson(files[0])


def _suggest(path: Path) -> str:
    """The end of an error message: the most similar name beside a missing one."""
    if not is_folder(path.parent):
        return ""
    names = [other.name for other in path.parent.iterdir()]
    similar = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / similar[0]}?" if similar else ""


def _suggest_below(folder: Path) -> str:
    """The end of an error message: data sets in the folders below one that is none itself."""
    below = [
        str(child) for child in sorted(folder.iterdir()) if child.is_dir() and _recognise(child)
    ]
    return f"; did you mean {' or '.join(below)}?" if below else ""
