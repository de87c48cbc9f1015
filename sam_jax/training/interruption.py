"""Stopping a run from outside without losing what the model has learned."""

import enum
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax

from sam_jax.distributed import largest_of_processes, make_vote
from sam_jax.ops.arguments import check_number


class Stop(enum.IntEnum):
    """Why a run should stop; of several reasons the greatest counts."""

    NONE = 0
    OUT_OF_TIME = 1
    INTERRUPTED = 2
    TERMINATED = 3


_OF_SIGNAL = {signal.SIGINT: Stop.INTERRUPTED, signal.SIGTERM: Stop.TERMINATED}


class StopRequest:
    """Whether, and why, this process was asked to stop before its last step.

    Args:
        max_seconds: Time in seconds after which to stop; None for no limit.

    Attributes:
        signal: The signal that asked for a stop; None if none did.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self.signal: signal.Signals | None = None

    @property
    def reason(self) -> Stop:
        """Why to stop."""
        if self.signal is not None:
            return _OF_SIGNAL[self.signal]
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return Stop.OUT_OF_TIME if is_late else Stop.NONE


class AgreedStop:
    """The same answer in all processes to whether they stop, at every step, without waiting for a step to end.

    Each process votes when it has begun a step, and the devices count the votes behind it; the result is looked at
    while they are busy with the next. So all processes stop after the same step, one after that in which the first of
    them was asked to.

    Args:
        request: What this process was asked.
        mesh: The devices, from `device_mesh`.
    """

    def __init__(self, request: StopRequest, mesh: jax.sharding.Mesh) -> None:
        self._request = request
        self._is_alone = jax.process_count() == 1
        self._vote = make_vote(mesh)
        self._counted: jax.Array | None = None

    def look(self) -> Stop:
        """Ask all processes, and wait for their answers."""
        return Stop(largest_of_processes(self._request.reason))

    def vote(self) -> Stop:
        """Vote for after this step, and return what was decided by the votes for after the step before."""
        if self._is_alone:
            return self._request.reason
        before, self._counted = self._counted, self._vote(self._request.reason)
        return Stop.NONE if before is None else Stop(int(before))


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
    before = {number: signal.getsignal(number) for number in _OF_SIGNAL}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for watched_number, handler in before.items():
            signal.signal(watched_number, handler)

    for number in _OF_SIGNAL:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
