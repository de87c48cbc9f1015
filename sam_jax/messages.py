"""What a run says while it works: counts in words, and signs of life."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

EVERY_SECONDS = 30.0
"""The longest silence of a run that is at work."""


def count(number: int, thing: str, things: str | None = None) -> str:
    """A number of things, with commas, in the singular or the plural.

    Args:
        number: Number of the things.
        thing: Name of one of them.
        things: Name of several; the default ends in s.

    >>> count(1, "photo"), count(1200, "mask"), count(2, "box", "boxes")
    ('1 photo', '1,200 masks', '2 boxes')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def print_line(line: str) -> None:
    """Print a line on the error stream, which may be closed."""
    with contextlib.suppress(OSError, ValueError):  # where nobody reads it, the work goes on
        print(line, file=sys.stderr, flush=True)


class LifeSigns:
    """Says what a run is doing: a line when each part begins, and one more whenever it was silent for half a minute.

    Where the error stream is a terminal, a progress bar does this, and nothing is said here.

    Args:
        say: Prints a line; the default prints it on the error stream.
        is_silent: Whether nothing is said, as in all processes but the first.
        every: The longest silence in seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None] = print_line,
        *,
        is_silent: bool = False,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._say = say
        self._is_silent = is_silent or (sys.stderr is not None and sys.stderr.isatty())
        self._every = every
        self._doing = ""
        self._started = self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="life signs", daemon=True)

    def __enter__(self) -> "LifeSigns":
        if not self._is_silent:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if not self._is_silent:
            self._thread.join()

    def begin(self, work: str) -> None:
        """Say what is being done from now on."""
        self._doing = work
        if not self._is_silent:
            self.heard()
            self._say(work)

    def now(self, work: str) -> None:
        """Change what the next sign of life says is being done, without a line of its own."""
        self._doing = work

    def heard(self) -> None:
        """Take note that something was printed, so that the run is not silent."""
        self._last = time.monotonic()

    def _repeat(self) -> None:
        while not self._ended.wait(max(0.01, self._last + self._every - time.monotonic())):
            now = time.monotonic()
            if now - self._last >= self._every:
                self._last = now
                minutes, seconds = divmod(int(now - self._started), 60)
                self._say(f"at work for {minutes}:{seconds:02}: {self._doing}")
