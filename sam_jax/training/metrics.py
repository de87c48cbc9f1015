"""The metrics of a run: averaged over steps, and in files, as lines of JSON and as TensorBoard's events."""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sam_jax.storage import BucketPath, copy_file, write_text

# tensorboardX imports torch where that is installed, which takes seconds, and looks only at its name for tensors.
_TORCH = sys.modules.setdefault("torch", None)  # pyright: ignore[reportArgumentType]
try:
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
finally:
    if _TORCH is None:
        del sys.modules["torch"]

METRICS = "metrics.jsonl"
"""The name of the file of metrics in the folder of a run."""
UPLOAD_SECONDS = 60
"""Time between two uploads of the files of metrics to a bucket, beside those before a training state is saved."""
RATE = "steps_per_second"
"""The name of the rate of steps among the metrics."""


class Averager:
    """Means of metrics over steps, and the rate of steps; the run's first step, which compiles, is not timed."""

    def __init__(self) -> None:
        self._numbers: list[Mapping[str, float]] = []
        self._since: float | None = None
        self._timed = 0

    def add(self, numbers: Mapping[str, float]) -> None:
        """Note the metrics of a step."""
        self._numbers.append(numbers)
        if self._since is None:
            self._since = time.perf_counter()
        else:
            self._timed += 1

    def take(self) -> dict[str, float]:
        """Return the means over the steps since the last call, of which there must be one, and begin anew."""
        now = time.perf_counter()
        means = {
            name: sum(numbers[name] for numbers in self._numbers) / len(self._numbers)
            for name in self._numbers[0]
        }
        means[RATE] = self._timed / (now - self._since) if self._since and self._timed else 0.0
        self._numbers, self._since, self._timed = [], now, 0
        return means


class MetricFiles:
    """The files of metrics, which go on where a run goes on: lines of later steps are removed.

    Args:
        folder: The folder of the run.
        step: The step that the run starts from.

    Raises:
        OSError: The disk refuses; every method can raise it.
        RunError: A bucket cannot be reached; likewise.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._local = folder, folder
        self._uploaded = time.monotonic()
        path = folder / METRICS
        if isinstance(folder, BucketPath):
            self._temporary = tempfile.TemporaryDirectory()
            self._local = Path(self._temporary.name)
            if path.exists():
                copy_file(path, self._local / METRICS)
            path = self._local / METRICS
        if path.exists():
            _forget_after(path, step)
        self._lines = path.open("a")
        events = self._local / "events"
        events.mkdir(exist_ok=True)
        # tensorboardX's SummaryWriter writes in a thread, which a full disk ends, and then waits for it forever.
        self._events = EventsWriter(str(events / "events"))
        purge = Event(step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self._events.write_event(purge)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append the metrics of a step."""
        self._lines.write(json.dumps({"step": step, **metrics}) + "\n")
        self._lines.flush()
        for name, number in metrics.items():
            self._add_event(step, summary.scalar(name, number))
        self._events.flush()
        if time.monotonic() - self._uploaded > UPLOAD_SECONDS:
            self.upload()

    def upload(self) -> None:
        """Bring the files up to date in a bucket, where nothing can be appended: they are uploaded anew."""
        self._uploaded = time.monotonic()
        if self._local is not self._folder:
            for file in (self._local / METRICS, *(self._local / "events").iterdir()):
                copy_file(file, self._folder / file.relative_to(self._local))

    def show(self, step: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Add a picture to TensorBoard's events."""
        self._add_event(step, summary.image("sessions", picture, dataformats="HWC"))
        self._events.flush()

    def close(self) -> None:
        """Write what is left to the files, and close them."""
        with contextlib.closing(self._events):
            self._lines.close()
        self.upload()

    def _add_event(self, step: int, of_step: Any) -> None:
        self._events.write_event(Event(step=step, wall_time=time.time(), summary=of_step))


def _forget_after(path: Path, step: int) -> None:
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        # A killed process may have left half a line, which is the last one.
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    write_text(path, "".join(kept))
