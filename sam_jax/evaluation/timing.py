"""How long an image takes, and what part of that time the measured method needs."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.tables import Table

SECONDS, METHOD_SECONDS = "seconds", "method_seconds"
"""Keys of an image's record: seconds for the image in all, and seconds of these in the measured method."""


class Stopwatch:
    """Counts the time that is spent inside of its `with` blocks.

    Attributes:
        seconds: Seconds in all blocks so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds += time.perf_counter() - self._started


def tabulate_time(records: Mapping[str, Sequence[ImageRecord]]) -> Table:
    """Seconds of the median image, and the measured method's share of them.

    The median, since the first image of each size includes compilation; images in which the method had nothing to do
    don't count.

    Args:
        records: Records with `SECONDS` and `METHOD_SECONDS`, by the label of their row.
    """
    rows = []
    for label, some in records.items():
        busy = [record for record in some if record[METHOD_SECONDS] > 0]
        if busy:
            median = sorted(busy, key=lambda record: record[SECONDS])[len(busy) // 2]
            rows.append((label, median[SECONDS], median[METHOD_SECONDS] / median[SECONDS]))
    columns = ("method, data set", "seconds an image", "share of the method")
    return Table("Time of the image in the middle; the rest is measuring", columns, tuple(rows))
