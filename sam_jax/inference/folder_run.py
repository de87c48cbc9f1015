"""Masks for a folder of photos: on all devices, shared among processes, and resumable."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.folders import PHOTO_ENDINGS, list_photos, strip_ending
from sam_jax.data.images import read_image, write_image
from sam_jax.inference.mask_files import (
    TABLE,
    gather_coco,
    make_document,
    read_document,
    write_pngs,
)
from sam_jax.inference.masking import (
    Generator,
    PhotoMasks,
    PhotoOutcome,
    find_masks,
    mask_in_groups,
)
from sam_jax.inference.overlay import draw_everything
from sam_jax.ops.rle import decode_rle
from sam_jax.storage import (
    copy_file,
    exists,
    have_same_content,
    is_folder,
    make_folder,
    remove_folder,
    remove_leftovers,
    write_json,
)
from sam_jax.types import InputError

MASKS, OVERLAYS, PNGS = "sa1b", "overlays", "pngs"
"""Folders of the results: photos with their json files, overlays, and a folder of PNG masks for each photo."""
COCO = "coco.json"


class Photos(NamedTuple):
    """Photos to find masks for.

    Attributes:
        folder: Folder that holds the photos.
        names: Paths of the photos relative to the folder, sorted.
    """

    folder: Path
    names: list[str]


@dataclass(frozen=True, kw_only=True)
class Extras:
    """Optional results beside SA-1B's json files.

    Attributes:
        overlay: Whether a picture of each photo's masks is written.
        png: Whether each mask is written as a PNG file, with a table for each photo.
    """

    overlay: bool = False
    png: bool = False


def find_photos(place: Path, output: Path) -> Photos:
    """Find a photo, or the photos below a folder, without those that an earlier run has written there.

    Args:
        place: Photo or folder.
        output: Folder of the results.

    Raises:
        InputError: There is no photo, or two would have the same json file.
    """
    if not is_folder(place):
        if not exists(place):
            raise InputError(f"no such file or folder: {place}")
        if place.suffix.lower() not in PHOTO_ENDINGS:
            raise InputError(f"{place} is no photo: its name ends in none of {PHOTO_ENDINGS}")
        if not place.is_file():
            raise InputError(f"{place} is a pipe or a device, not a photo")
        return Photos(place.parent, [place.name])
    written = [(output / name).resolve() for name in (MASKS, OVERLAYS, PNGS)]
    names = [
        name
        for name in list_photos(place)
        if not any((place / name).resolve().is_relative_to(folder) for folder in written)
    ]
    refuse_doubles(names)
    return Photos(place, names)


def refuse_doubles(names: Sequence[str]) -> None:
    """Refuse photos whose masks would go into one json file.

    Args:
        names: Paths of the photos relative to their folder.

    Raises:
        InputError: The paths of two photos differ in nothing but their ending.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(strip_ending(name), name)
        if other != name:
            raise InputError(f"{other} and {name} would share a json file; rename one of them")


class FolderRun:
    """Finds masks for photos and writes them; photos whose results are complete are left alone.

    A photo's json file appears whole, and after the photo was copied beside it, so that the folder can be trained on,
    and that a photo which is replaced by another of its name is told from it: its results are made anew. Where only
    extras are missing, they are made from the json file.

    Args:
        generators: One generator for each device.
        photos: All photos, the same in every process.
        output: Folder of the results.
        extras: Optional results to write.
        process_index: Number of this process, which takes the photos with this number modulo `process_count`.
        process_count: Number of processes that share the photos.

    Attributes:
        to_do: Paths of the photos of this process whose results are not complete.
        done_before: Number of the other photos of this process.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        photos: Photos,
        output: Path,
        extras: Extras,
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        self.generators = generators
        self.photos = photos
        self.output = output
        self.extras = extras
        mine = photos.names[process_index::process_count]
        self.to_do = [name for name in mine if not self._is_done(name)]
        self.done_before = len(mine) - len(self.to_do)

    def __iter__(self) -> Iterator[PhotoOutcome]:
        """Results for the photos, in the order in which they are finished.

        Raises:
            InputError: The output folder cannot be written to.
            RunError: The disk is full or broken.
        """
        self._clean()
        yield from mask_in_groups(self.generators, self.to_do, self._process)

    def keep_all(self, found: Iterable[PhotoMasks]) -> Iterator[PhotoOutcome]:
        """Write masks that are found elsewhere, photo by photo; errors are those of iterating."""
        self._clean()
        for of_photo in found:
            yield self._keep(of_photo, None)

    def write_coco(self) -> bool:
        """Write one COCO file of the masks of all finished photos, and return whether all photos are finished."""
        documents = []
        for name in self.photos.names:
            path = self._document(name)
            if path.exists():
                documents.append((name, read_document(path)))
        is_complete = len(documents) == len(self.photos.names)
        write_json(self.output / COCO, gather_coco(documents))
        return is_complete

    def _clean(self) -> None:
        remove_leftovers(self.output, below=False)
        for name in (MASKS, OVERLAYS, PNGS):
            remove_leftovers(self.output / name)

    def _is_done(self, name: str) -> bool:
        return (
            self._has_masks(name)
            and (self._overlay(name).exists() or not self.extras.overlay)
            and ((self._pngs(name) / TABLE).exists() or not self.extras.png)
        )

    def _has_masks(self, name: str) -> bool:
        """Whether there are masks of this very photo, not of another that had its name but for the ending."""
        return self._document(name).exists() and have_same_content(
            self.photos.folder / name, self.output / MASKS / name
        )

    def _forget(self, name: str) -> None:
        """Remove the results of another photo that had this name, its json file first: without it nothing counts."""
        self._document(name).unlink(missing_ok=True)
        stem = Path(strip_ending(name)).name
        for path in self._document(name).parent.glob(f"{glob.escape(stem)}.*"):
            if path.stem == stem and path.suffix.lower() in PHOTO_ENDINGS:
                path.unlink(missing_ok=True)
        self._overlay(name).unlink(missing_ok=True)
        remove_folder(self._pngs(name))

    def _overlay(self, name: str) -> Path:
        return self.output / OVERLAYS / f"{strip_ending(name)}.jpg"

    def _pngs(self, name: str) -> Path:
        return self.output / PNGS / strip_ending(name)

    def _document(self, name: str) -> Path:
        return self.output / MASKS / f"{strip_ending(name)}.json"

    def _process(self, generator: Generator, group: Sequence[str]) -> list[PhotoOutcome]:
        """Find and write the masks of a group of photos; of those that have masks, only the extras are written."""
        unmasked = [name for name in group if not self._has_masks(name)]
        outcomes = [self._complete(name) for name in group if name not in unmasked]
        images: dict[str, np.ndarray] = {}
        for found in find_masks(generator, self.photos.folder, unmasked, images.__setitem__):
            outcomes.append(self._keep(found, images.get(found.name)))
        return outcomes

    def _complete(self, name: str) -> PhotoOutcome:
        try:
            image = read_image(self.photos.folder / name)
        except InputError as error:
            return self._refuse(name, str(error))
        return self._write(name, image, read_document(self._document(name)))

    def _keep(self, found: PhotoMasks, image: UInt8[np.ndarray, "h w 3"] | None) -> PhotoOutcome:
        name = found.name
        if found.size is None:
            return self._refuse(name, str(found.problem))
        document = make_document(found.records, name, found.size)
        self._forget(name)
        return self._write(name, image, document)

    def _refuse(self, name: str, problem: str) -> PhotoOutcome:
        if not self._has_masks(name):
            self._forget(name)
        return PhotoOutcome(name, 0, problem)

    def _write(
        self,
        name: str,
        image: UInt8[np.ndarray, "h w 3"] | None,
        document: dict[str, Any],
    ) -> PhotoOutcome:
        annotations = document["annotations"]
        if self.extras.png:
            write_pngs(self._pngs(name), annotations)
        if self.extras.overlay:
            masks = [decode_rle(annotation["segmentation"]) for annotation in annotations]
            make_folder(self._overlay(name).parent)
            phrases = [annotation.get("phrase", "") for annotation in annotations]
            pixels = read_image(self.photos.folder / name) if image is None else image
            write_image(self._overlay(name), draw_everything(pixels, masks, phrases))
        path = self._document(name)
        make_folder(path.parent)
        if not self._has_masks(name):
            copy_file(self.photos.folder / name, self.output / MASKS / name)
            write_json(path, document)
        return PhotoOutcome(name, len(annotations), None)
