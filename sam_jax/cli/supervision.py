"""Running a command in a process of its own, for what the process cannot do when it is ended from outside.

Of several processes that train together, JAX ends all when one has died, in the middle of whatever they do. The
supervisor, which holds nothing of the run, then says in one line what happened, or starts the command again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

LOST = 75
"""The exit code of a process that ends because another one of the run has ended; the same command goes on."""
RESTARTS, MULTI_HOST = "--restarts", "--multi-host"
RESTART_AFTER_SECONDS = 30
"""Time before a new start, in which the other processes notice the loss and end."""
_LIFELINE = "SAM_JAX_SUPERVISED_BY"
"""The variable that tells a supervised process the number of a pipe, which closes when the supervisor has ended."""
_STOPS = (signal.SIGINT, signal.SIGTERM)


def is_to_be_supervised(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for restarts or is one of several processes, and does not run supervised already."""
    names = {argument.partition("=")[0] for argument in arguments}
    return bool(names & {RESTARTS, MULTI_HOST}) and _LIFELINE not in os.environ


def is_supervised() -> bool:
    """Whether this process has a supervisor, which says the last word on it."""
    return _LIFELINE in os.environ


def end_with_supervisor() -> None:
    """Have this process end, from now on, as soon as its supervisor has ended."""
    lifeline = int(os.environ[_LIFELINE])
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(LOST)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def supervise(arguments: Sequence[str]) -> int:
    """Run a command line in a process of its own, start it again where it asks for that, and return its exit code."""
    left = _count_restarts(arguments)
    while True:
        code, was_asked = _run(arguments)
        reason = _explain(code)
        if reason and not was_asked and left > 0:
            left -= 1
            _say(
                f"{reason}; starting again in {RESTART_AFTER_SECONDS} s, {left} more times at most"
            )
            time.sleep(RESTART_AFTER_SECONDS)
            continue
        if code < 0 and not was_asked:
            _say(
                f"error: {reason}; start again, the run goes on from its newest whole training state"
            )
        if code == -signal.SIGABRT:
            return LOST
        return code if code >= 0 else 128 - code


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """Run once; the exit code, and whether a signal had asked for the end."""
    lifeline, held = os.pipe()
    asked: list[int] = []
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "sam_jax", *arguments],
            stderr=_own_error_stream(),
            pass_fds=(lifeline,),
            env={**os.environ, _LIFELINE: str(lifeline)},
            process_group=0,  # Ctrl-C in a terminal would reach it twice otherwise
        )
    finally:
        os.close(lifeline)

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in _STOPS}
    try:
        return process.wait(), bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(held)


def _explain(code: int) -> str:
    """Why a process has ended that the same command can go on with; empty for any other end."""
    if code in (LOST, -signal.SIGABRT):
        return "another process of this run has ended or cannot be reached"
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return ""


def _count_restarts(arguments: Sequence[str]) -> int:
    """The number after --restarts; 0 where there is none, also if it is no number, which the command says itself."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    with contextlib.suppress(ValueError, IndexError):
        return int(words[words.index(RESTARTS) + 1])
    return 0


def _own_error_stream() -> int | None:
    """The number of our error stream, which is not that of the libraries."""
    try:
        return sys.stderr.fileno()
    except (OSError, AttributeError, ValueError):
        return None


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
