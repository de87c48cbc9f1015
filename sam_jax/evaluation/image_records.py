"""Measuring image after image on all devices, shared among processes, with a record of each on the disk."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class RecordedRun:
    """Measures the images that have no record yet, when it is iterated over.

    Records don't depend on which device or process makes them, and `read_records` gives them in the images' order.

    Args:
        names: Names of all images, the same in every process.
        workers: Functions that measure an image, one for each device; each is given one image at a time.
        folder: Folder of the results.
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
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        self.names = names
        self.workers = workers
        self.folder = folder
        mine = range(process_index, len(names), process_count)
        self.to_do = [number for number in mine if not self._path(number).exists()]
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
        paths = (self._path(number) for number in range(len(self.names)))
        return [json.loads(path.read_bytes()) for path in paths if path.exists()]

    def _path(self, number: int) -> Path:
        return self.folder / RECORDS / f"{number:06d}.json"

    def _keeping(self, worker: MeasureImage) -> Callable[[int], Outcome]:
        def measure(number: int) -> Outcome:
            try:
                record = worker(number)
            except InputError as error:
                return Outcome(self.names[number], str(error))
            write_json(self._path(number), record)
            return Outcome(self.names[number], None)

        return measure
