"""A protocol over the images of a data set: on all devices, shared among processes, going on where it stopped."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sam_jax.distributed import spread
from sam_jax.storage import write_json
from sam_jax.types import InputError

RECORDS = "records"
"""Folder of one json file for each image, which appears whole: what has one is done."""

Record = dict[str, Any]
"""What a protocol found out about one image, as JSON can hold it."""

Measure = Callable[[int], Record]
"""From the index of an image to what is found out about it; raises InputError for one that cannot be used."""


class Outcome(NamedTuple):
    """How it went with an image.

    Attributes:
        name: of the image.
        problem: why there is no record; None if all went well.
    """

    name: str
    problem: str | None


class Measurement:
    """Measures images and keeps a record of each; images that have theirs already are left alone.

    Records don't depend on which device or process makes them, and `read_records` gives them in the images' order.

    Args:
        names: of all images, in every process.
        workers: one for each device; each is given one image at a time.
        folder: of the results.
        process_index, process_count: this process takes every so manieth image.
    """

    def __init__(
        self,
        names: Sequence[str],
        workers: Sequence[Measure],
        folder: Path,
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        self.names = names
        self.workers = workers
        self.folder = folder
        mine = range(process_index, len(names), process_count)
        self.to_do = [index for index in mine if not self._path(index).exists()]
        self.done_before = len(mine) - len(self.to_do)

    def __iter__(self) -> Iterator[Outcome]:
        """Outcomes as they come.

        Raises:
            InputError: the folder cannot be written to.
        """
        try:
            (self.folder / RECORDS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        return spread([self._keeping(worker) for worker in self.workers], self.to_do)

    def read_records(self) -> list[Record]:
        """The records of all images that have one, whichever run or process made them."""
        paths = (self._path(index) for index in range(len(self.names)))
        return [json.loads(path.read_bytes()) for path in paths if path.exists()]

    def _path(self, index: int) -> Path:
        return self.folder / RECORDS / f"{index:06d}.json"

    def _keeping(self, worker: Measure) -> Callable[[int], Outcome]:
        def measure(index: int) -> Outcome:
            try:
                record = worker(index)
            except InputError as error:
                return Outcome(self.names[index], str(error))
            try:
                write_json(self._path(index), record)
            except OSError as error:
                raise InputError(
                    f"cannot write to {self.folder}: {error.strerror or error}"
                ) from error
            return Outcome(self.names[index], None)

        return measure
