"""Stopping a run from outside without losing what the model has learned."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sam_jax.ops.arguments import check_number


class StopRequest:
    """Whether, and why, a run should stop before its last step.

    Args:
        max_seconds: Time in seconds after which to stop; None for no limit.

    Attributes:
        signal: The signal that asked for a stop; None if none did.
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
    """Turn Ctrl-C and SIGTERM into a request; the second of them ends the process as always.

    Args:
        max_seconds: Time in seconds after which to stop as well; None for no limit.

    Raises:
        InputError: The time is negative or not finite.
    """
    if max_seconds is not None:
        check_number("max_seconds", max_seconds, least=0)
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
