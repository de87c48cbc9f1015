"""Measuring image after image on all devices, shared among processes, with a record of each on the disk."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.distributed import spread
from sam_jax.storage import make_folder, write_json
from sam_jax.types import InputError

RECORDS = "records"
"""Folder of one JSON file for each image. A file appears whole; an image that has one is done."""

ImageRecord = dict[str, Any]
"""What was found out about one image, as JSON can hold it."""

MeasureImage = Callable[[int], ImageRecord]
"""From the number of an image to its record; raises `InputError` for an image that cannot be used."""


class Outcome(NamedTuple):
    """How it went with an image.

    Attributes:
        name: Name of the image.
        problem: Why the image has no record; None if it has one.
    """

    name: str
    problem: str | None


def digest_arrays(arrays: Iterable[np.ndarray]) -> str:
    """A digest of the shapes and values of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def read_records(folder: Path, count: int) -> list[ImageRecord]:
    """The records in a folder of results, in the images' order.

    Args:
        folder: Folder of the results.
        count: Number of images, with or without a record.
    """
    paths = (_record_path(folder, number) for number in range(count))
    return [json.loads(path.read_bytes()) for path in paths if path.exists()]


def _record_path(folder: Path, number: int) -> Path:
    return folder / RECORDS / f"{number:06d}.json"


class RecordedRun:
    """Measures the images that have no record yet, when it is iterated over.

    Records don't depend on which device or process makes them, and `read_records` gives them in the images' order.

    Args:
        names: Names of all images, the same in every process.
        workers: Functions that measure an image, one for each device; each is given one image at a time.
        folder: Folder of the results.
        is_current: Function from a record to whether it is of the image that now has its name; may raise `InputError`.
        process_index: Number of this process, from 0; it takes the images whose number leaves this remainder when
            divided by `process_count`.
        process_count: Number of processes.

    Attributes:
        to_do: Numbers of the images of this process that have no record yet.
        done_before: How many images of this process have one already.
    """

    def __init__(
        self,
        names: Sequence[str],
        workers: Sequence[MeasureImage],
        folder: Path,
        is_current: Callable[[ImageRecord], bool],
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        self.names = names
        self.workers = workers
        self.folder = folder
        mine = range(process_index, len(names), process_count)
        self._is_current = is_current
        self.to_do = [number for number in mine if not self._is_done(number)]
        self.done_before = len(mine) - len(self.to_do)

    def __iter__(self) -> Iterator[Outcome]:
        """Outcomes as they come, in any order.

        Raises:
            InputError: The folder cannot be written to.
            RunError: The disk is full or broken.
        """
        make_folder(self.folder / RECORDS)
        return spread([self._keeping(worker) for worker in self.workers], self.to_do)

    def read_records(self) -> list[ImageRecord]:
        """The records of all images that have one, whichever run or process made them."""
        return read_records(self.folder, len(self.names))

    def _is_done(self, number: int) -> bool:
        """Whether an image has a record. One of another image that had its name is removed."""
        try:
            if self._is_current(json.loads(self._path(number).read_bytes())):
                return True
        except OSError:  # there is none
            return False
        except (InputError, LookupError, ValueError):  # its image or itself cannot be read
            pass
        self._path(number).unlink()
        return False

    def _path(self, number: int) -> Path:
        return _record_path(self.folder, number)

    def _keeping(self, worker: MeasureImage) -> Callable[[int], Outcome]:
        def measure(number: int) -> Outcome:
            try:
                record = worker(number)
            except InputError as error:
                return Outcome(self.names[number], str(error))
            write_json(self._path(number), record)
            return Outcome(self.names[number], None)

        return measure
