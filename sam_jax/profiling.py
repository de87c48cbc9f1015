"""Traces of a few steps of a run, by JAX's profiler."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import jax

from sam_jax.storage import BucketPath, make_folder
from sam_jax.types import InputError

Outcome = TypeVar("Outcome")

WARM_UP = {"step": 3, "photo": 1}
"""Number of first steps, or photos, that are not traced: programs are compiled in them."""
TRACED = {"step": 5, "photo": 2}
"""Number of steps, or photos, that are traced."""


class Profile:
    """Traces some steps after the first ones, and nothing where no folder is given.

    Args:
        folder: Folder for the trace, which TensorBoard and Perfetto show; None for no trace.
        thing: What the run does one after another: step or photo.
        say: Is told where the trace is, or that there is none.

    Raises:
        InputError: The folder is in a bucket, or cannot be made.
    """

    def __init__(self, folder: Path | None, thing: str, say: Callable[[str], None]) -> None:
        if isinstance(folder, BucketPath):
            raise InputError(f"{folder}: a profile is written to a local folder")
        if folder is not None:
            make_folder(folder)
        self._folder, self._thing, self._say = folder, thing, say
        self._done = 0
        self._is_tracing = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_tracing:
            self._stop()
        elif self._folder is not None and self._done <= WARM_UP[self._thing] and error is None:
            least = WARM_UP[self._thing] + 1
            self._say(f"no profile: it begins with {self._thing} {least}, and the run ended before")

    def next(self, results: Any = None) -> None:
        """Take note that the next step begins.

        Args:
            results: Arrays of the step before, which are waited for where tracing begins or ends.
        """
        if self._folder is None:
            return
        first = WARM_UP[self._thing]
        if self._done == first:
            jax.block_until_ready(results)
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = (
                0  # every call of Python would be more than the work itself
            )
            jax.profiler.start_trace(str(self._folder), profiler_options=options)
            self._is_tracing = True
        elif self._is_tracing and self._done == first + TRACED[self._thing]:
            jax.block_until_ready(results)
            self._stop()
        self._done += 1

    def follow(self, outcomes: Iterable[Outcome], number: int) -> Iterator[Outcome]:
        """The outcomes of steps, each of which begins when its outcome is asked for.

        Args:
            outcomes: The outcomes.
            number: Number of them.
        """
        following = iter(outcomes)
        for _ in range(number):
            self.next()
            yield from itertools.islice(following, 1)
        yield from following

    def _stop(self) -> None:
        self._is_tracing = False
        jax.profiler.stop_trace()
        traced = self._done - WARM_UP[self._thing]
        self._say(
            f"profile of {self._thing}s {WARM_UP[self._thing] + 1} to {WARM_UP[self._thing] + traced} in "
            f"{self._folder}: tensorboard --logdir {self._folder}"
        )
