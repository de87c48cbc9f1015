"""What `sam-jax train` and `sam-jax finetune` share: training, and the words and exit codes at its end."""

import logging
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType

import jax

from sam_jax.training.config import TrainConfig
from sam_jax.training.loop import WEIGHTS, Ending, train

TERMINATED = 128 + signal.SIGTERM

_report_thread, _report_unraisable = threading.excepthook, sys.unraisablehook


def train_and_report(
    config: TrainConfig,
    folder: Path,
    max_seconds: float | None,
    started: float,
    embeddings: Path | None = None,
) -> None:
    """Train and print where the result is.

    Raises:
        InputError: the folder is a file, or as for `train`.
        KeyboardInterrupt: Ctrl-C stopped it; all is saved.
        SystemExit: SIGTERM did.
    """
    _quieten_orbax()
    ending = train(config, folder, embeddings=embeddings, max_seconds=max_seconds, started=started)
    if ending is Ending.FINISHED:
        _print_once(f"trained {config.steps} steps: {folder / WEIGHTS}")
        return
    _print_once(f"{ending.value}: saved in {folder}; the same command goes on from there")
    if ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt
    if ending is Ending.TERMINATED:
        raise SystemExit(TERMINATED)


def _print_once(text: str) -> None:
    """Of several processes only the first does."""
    if jax.process_index() == 0:
        print(text)


def _quieten_orbax() -> None:
    """A checkpoint that cannot be written is one line; Orbax's threads would print pages of the same."""
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
