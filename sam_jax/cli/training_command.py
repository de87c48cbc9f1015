"""The part that `sam-jax train` and `sam-jax finetune` share: training, the last message, and the exit code."""

import logging
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

import jax

from sam_jax.messages import count
from sam_jax.training.config import RunSettings
from sam_jax.training.loop import Ending, find_result, train

TERMINATED = 128 + signal.SIGTERM

_report_thread, _report_unraisable = threading.excepthook, sys.unraisablehook


def train_and_report(
    config: RunSettings,
    folder: Path,
    max_seconds: float | None,
    started: float,
    embeddings: Path | None = None,
    profile: Path | None = None,
    program: Path | None = None,
) -> Ending:
    """Train, and print where the result is.

    Args:
        config: Training configuration of the run.
        folder: Folder of the run.
        max_seconds: Time in seconds, counted from `started`, after which the run is saved and stopped.
        started: Time of `time.perf_counter` when the command started.
        embeddings: Folder of cached image embeddings; the default is a subfolder of the run's folder.
        profile: Local folder for a trace of a few steps; None for none.
        program: Compiled training step for these devices, from `sam-jax plan --keep`; None to compile it.

    Returns:
        Why training ended: it is finished or out of time.

    Raises:
        InputError: The folder is a file, or `train` raises it.
        KeyboardInterrupt: Ctrl-C stopped the run; everything is saved.
        SystemExit: SIGTERM stopped the run; everything is saved.
    """
    _quieten_orbax()
    ending = train(
        config,
        folder,
        embeddings=embeddings,
        max_seconds=max_seconds,
        started=started,
        profile=profile,
        program=program,
    )
    if ending is Ending.FINISHED:
        _print_once(f"trained {count(config.steps, 'step')}: {find_result(config, folder)}")
        return ending
    _print_once(f"{ending.value}: saved in {folder}; the same command goes on from there")
    if ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    if ending is Ending.TERMINATED:
        raise SystemExit(TERMINATED)
    return ending


def _print_once(text: str) -> None:
    """Print in the first of several processes only."""
    if is_first_process():
        print(text)


def is_first_process() -> bool:
    """Whether this is the first of the processes that run together."""
    return jax.process_index() == 0


def _quieten_orbax() -> None:
    """Keep Orbax's threads from printing pages about a checkpoint that cannot be written; one line tells of it."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    threading.excepthook, sys.unraisablehook = _report_others, _report_other_unraisables


def _report_others(problem: threading.ExceptHookArgs) -> None:
    if not _is_of_orbax(problem.exc_traceback):
        _report_thread(problem)


def _report_other_unraisables(problem: "sys.UnraisableHookArgs") -> None:
    is_left_over = str(problem.exc_value) == "Event loop is closed"
    if not (is_left_over or _is_of_orbax(problem.exc_traceback)):
        _report_unraisable(problem)


def _is_of_orbax(trace: TracebackType | None) -> bool:
    return any(
        "orbax" in Path(frame.f_code.co_filename).parts for frame, _ in traceback.walk_tb(trace)
    )
