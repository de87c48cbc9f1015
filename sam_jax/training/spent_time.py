"""Where the time of a run goes, over all its starts."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sam_jax.storage import write_json

STARTS = "starts.json"
"""Name of the file that tells, for each start of a run, from which step it went on and how many seconds it lasted."""

Kind = Literal["data", "step", "saving"]
GOODPUT = "goodput"
"""Name of the share of time in new steps, among the metrics."""


class SpentTime:
    """The time that a run spends, on what, and the share of it in steps that were new: its goodput.

    All that is not such a step counts as lost: starting, compiling, saving, pictures, and steps that had to be done
    again after a stop. The time between a stop and the next start does not count, nor what a killed process did after
    its last sign.

    Args:
        folder: The folder of the run; None for a process that writes nothing.
        step: The step that the run starts from.
        seconds: The seconds in new steps up to then.
        started: `time.perf_counter()` at the program's start.

    Attributes:
        seconds: The seconds in new steps so far.
    """

    def __init__(self, folder: Path | None, step: int, seconds: float, started: float) -> None:
        self._path = None if folder is None else folder / STARTS
        self._started = started
        self._starts = _read(self._path)
        self._before = sum(start["seconds"] for start in self._starts)
        self._starts.append({"from_step": step, "seconds": 0.0})
        self._spent: dict[str, float] = {"data": 0.0, "step": 0.0, "saving": 0.0}
        self._steps = 0
        self._is_compiled = False
        self.seconds = seconds

    @contextlib.contextmanager
    def spending(self, kind: Kind) -> Iterator[None]:
        """Time what is done in the block."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self._spent[kind] += spent
        if kind != "saving" and self._is_compiled:
            self.seconds += spent

    def end_step(self) -> None:
        """Take note that a step is done; the first one of a start, which compiles, counts as lost."""
        self._steps += 1
        self._is_compiled = True

    def take(self) -> dict[str, float]:
        """Seconds a step for each kind since the last call, and the goodput of the whole run."""
        steps, self._steps = max(1, self._steps), 0
        means = {f"{kind}_seconds": spent / steps for kind, spent in self._spent.items()}
        self._spent = dict.fromkeys(self._spent, 0.0)
        return {**means, GOODPUT: self.goodput}

    @property
    def goodput(self) -> float:
        """The share of time in new steps, of all starts together."""
        return self.seconds / (self._before + time.perf_counter() - self._started)

    def write(self) -> None:
        """Write how long this start has lasted.

        Raises:
            InputError: The folder cannot be written to.
            RunError: The disk is full or broken, or the bucket cannot be reached.
        """
        if self._path is not None:
            self._starts[-1]["seconds"] = round(time.perf_counter() - self._started, 3)
            write_json(self._path, self._starts)


def _read(path: Path | None) -> list[dict[str, float]]:
    try:
        starts = [] if path is None else json.loads(path.read_bytes())
        return [{name: float(start[name]) for name in ("from_step", "seconds")} for start in starts]
    except (OSError, ValueError, LookupError, TypeError):  # there is none, or it is damaged
        return []
