"""Stopping a run from outside without losing what it has learned."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Why a run should stop before its last step.

    Attributes:
        signal: that asked for it; None if none did.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self.signal: signal.Signals | None = None

    @property
    def is_made(self) -> bool:
        """Whether a signal has come or the time is up."""
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return self.signal is not None or is_late


@contextmanager
def watching_for_stops(max_seconds: float | None) -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into a request; the second time, they end the process as they always do.

    Args:
        max_seconds: after which to stop as well; None for no limit.
    """
    request = StopRequest(max_seconds)
    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in watched}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for watched_number, handler in before.items():
            signal.signal(watched_number, handler)

    for number in watched:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
