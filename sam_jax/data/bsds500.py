"""The Berkeley Segmentation Data Set (BSDS500): photos that several people divided into segments, each in their way.

Arbelaez et al., "Contour Detection and Hierarchical Image Segmentation", TPAMI 33(5), 2011,
https://doi.org/10.1109/TPAMI.2010.161.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from sam_jax.data.archives import measure_mat, measure_npz, read_mat, read_npz
from sam_jax.data.example import Example, LabelMasks, RecordError, check_size
from sam_jax.data.folders import Photo, list_files, list_photos, read_photo, strip_ending
from sam_jax.data.hints import read_hints

TRUTH_ENDINGS = (".npz", ".mat")
MOST_PEOPLE = 64
"""The most people who may have divided a photo; BSDS500's have been divided by 4 to 9."""
BYTES_PER_PIXEL = 16
"""Of a person's segments and boundaries together, each at most a number of 8 bytes."""
SMALLEST_LIMIT = 1 << 20
"""Bytes that a truth may have in any case, for what is in it beside its pixels."""


class _Record(NamedTuple):
    photo: str
    truth: str | None
    person: int


class Bsds500Folder:
    """A source: one record for each photo and each person who divided it; the masks are that person's segments.

    Args:
        photos: Folder of the photos, with `train`, `val` and `test` below it.
        truth: Folder of the segmentations, with the same names: the release's .mat files, or .npz files with an array
            `segmentations` of (people, h, w).

    Raises:
        InputError: A folder is missing, or there are no photos.
    """

    def __init__(self, photos: Path, truth: Path) -> None:
        self._photo_folder = photos
        self._truth_folder = truth
        self._hints = read_hints(photos, truth)
        truths = {strip_ending(path): path for path in list_files(truth, TRUTH_ENDINGS)}
        self.records = [
            _Record(photo, truths.get(strip_ending(photo)), person)
            for photo in list_photos(photos)
            for person in range(_count_people(truth, truths.get(strip_ending(photo))))
        ]

    @property
    def name(self) -> str:
        """Path of the folder of photos."""
        return str(self._photo_folder)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        record = self.records[index]
        photo_path = self._photo_folder / record.photo
        if record.truth is None:
            raise RecordError(f"{photo_path}: no segmentations in {self._truth_folder}")
        photo = read_photo(photo_path, self._hints)
        truth_path = self._truth_folder / record.truth
        people = _read_truth(truth_path, "segmentations", "Segmentation", photo)
        if record.person >= len(people):
            raise RecordError(f"{truth_path} is damaged: it has the segmentations of {len(people)}")
        labels = people[record.person]
        name = f"{photo_path}, person {record.person + 1}"
        return Example(name, photo.pixels, LabelMasks(labels), photo.notes)

    def list_left_out(self) -> list[str]:
        """Photos that nobody divided."""
        return [
            f"{self._photo_folder / record.photo}: no segmentations in {self._truth_folder}"
            for record in self.records
            if record.truth is None
        ]


class Outlined(NamedTuple):
    """A photo and the boundaries that people drew in it.

    Attributes:
        name: Path of the photo relative to the folder of photos.
        image: RGB pixels of the photo.
        boundaries: One map of thin lines for each person.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    boundaries: list[Bool[np.ndarray, "h w"]]


class Bsds500Boundaries:
    """Photos with all people's boundaries: what edge detectors are measured on.

    Args:
        photos: Folder of the photos.
        truth: Folder of the boundaries, with the same names: the release's .mat files, or .npz files with an array
            `boundaries` of (people, h, w).

    Raises:
        InputError: A folder is missing, or there are no photos.
    """

    def __init__(self, photos: Path, truth: Path) -> None:
        self._photo_folder = photos
        self._truth_folder = truth
        self.names = list_photos(photos)
        self._hints = read_hints(photos, truth)
        self._truths = {strip_ending(path): path for path in list_files(truth, TRUTH_ENDINGS)}

    def __len__(self) -> int:
        return len(self.names)

    def list_left_out(self) -> list[str]:
        """Photos in which nobody drew boundaries."""
        return [
            f"{self._photo_folder / name}: no boundaries in {self._truth_folder}"
            for name in self.names
            if strip_ending(name) not in self._truths
        ]

    def __getitem__(self, index: int) -> Outlined:
        """Read a photo and its boundaries.

        Raises:
            RecordError: The photo or its truth cannot be used.
        """
        name = self.names[index]
        path, truth = self._photo_folder / name, self._truths.get(strip_ending(name))
        if truth is None:
            raise RecordError(f"{path}: no boundaries in {self._truth_folder}")
        photo = read_photo(path, self._hints)
        truth_path = self._truth_folder / truth
        boundaries = _read_truth(truth_path, "boundaries", "Boundaries", photo)
        return Outlined(name, photo.pixels, [drawn > 0 for drawn in boundaries])


def _count_people(folder: Path, truth: str | None) -> int:
    """Number of people who divided a photo; 1 where that cannot be read, so that reading the record says why."""
    try:
        if truth is None:
            return 1
        if truth.endswith(".npz"):
            people = measure_npz(folder / truth, "segmentations")[0]
        else:
            people = max(measure_mat(folder / truth))[-1]
    except Exception:  # as in `_read_truth`
        return 1
    return people if people <= MOST_PEOPLE else 1


def _read_truth(
    path: Path, array: str, cell_field: str, photo: Photo
) -> Sequence[Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]]:
    """The truth of all people: an array of an .npz file, or a field of a .mat file's cells.

    Raises:
        RecordError: The truth is damaged, of another size than the photo, or much larger than it can be.
    """
    most = MOST_PEOPLE * BYTES_PER_PIXEL * math.prod(photo.size) + SMALLEST_LIMIT
    try:
        if path.suffix == ".npz":
            people = list(read_npz(path, array, most))
        else:
            cells = read_mat(path, "groundTruth", most).ravel()
            people = [cell[cell_field][0, 0] for cell in cells]
        kinds = {drawn.dtype.kind for drawn in people}
    # What damaged archives raise depends on where the damage is: BadZipFile, zlib.error, ValueError, KeyError, ...
    except Exception as error:
        raise RecordError(f"{path} holds no {array}, or is damaged: {error}") from error
    if not kinds <= set("biu"):
        raise RecordError(f"{path} holds no {array}, or is damaged: they are not whole numbers")
    for drawn in people:
        check_size(str(path), drawn.shape, photo.size, photo.note)
    return people
