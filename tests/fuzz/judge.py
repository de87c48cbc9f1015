"""Running one command line or call, and saying what is wrong with how it ended."""

import contextlib
import io
import json
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from sam_jax.cli.main import main
from sam_jax.types import InputError, RunError
from tests.fuzz.calls import Call, not_finite

SECONDS = 60
EXIT_CODES = (0, 1, 2, 130)


class TooLong(BaseException):
    """A command or call took longer than a minute; no `except Exception` catches it."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raise TooLong after a minute."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge_command(command: list[str], out: Path) -> tuple[str | None, str]:
    """Run a command line, and return what is wrong, None for nothing, and how it ended: its exit code."""
    stdout, stderr = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in "oe"
    )
    try:
        with time_limit(), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            code = main(command)
    except SystemExit as ended:
        code = ended.code
        return (None if code in (0, 2) else f"exit code {code}"), str(code)
    except TooLong:
        return "hang", "hang"
    except BaseException as error:
        return f"traceback: {_place(error)}", "traceback"
    for stream in (stdout, stderr):
        stream.flush()
    shown, complaints = (stream.buffer.getvalue().decode() for stream in (stdout, stderr))
    problem = _judge_ending(code, shown, complaints) or judge_files(out)
    return problem, str(code)


def _judge_ending(code: object, shown: str, complaints: str) -> str | None:
    if code not in EXIT_CODES:
        return f"exit code {code}"
    if "Traceback" in shown + complaints:
        return "traceback printed"
    lines = complaints.splitlines()
    if code and not (lines and lines[-1].startswith("error: ") and len(lines[-1]) > 12):
        return f"exit code {code} without a line: {lines[-1:]}"
    if code == 0 and any(line.startswith("error") for line in lines):
        return "an error line, but exit code 0"
    return None


def judge_files(out: Path) -> str | None:
    """What is wrong with the files below a folder of results, or a file; None for nothing."""
    for path in [out, *(out.rglob("*") if out.is_dir() else [])]:
        if ".unfinished" in path.name:
            return f"left over: {path.name}"
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
            elif path.suffix in (".png", ".jpg") and path.is_file():
                with Image.open(path) as image:
                    image.load()
        except (ValueError, ZeroDivisionError, OSError) as error:
            return f"half-written or not finite: {path.suffix} ({type(error).__name__})"
    return None


def judge_call(call: Call) -> tuple[str | None, str]:
    """Make a call, and return what is wrong, None for nothing, and how it ended."""
    try:
        with time_limit():
            result = call.function()
    except (InputError, RunError) as error:
        is_one_line = str(error) and "\n" not in str(error)
        return (None if is_one_line else "more than one line"), type(error).__name__
    except TooLong:
        return "hang", "hang"
    except (TypeError, ValueError) as error:
        return (_place(error) if call.is_door else None), type(error).__name__
    except BaseException as error:
        return _place(error), "traceback"
    return ("NaN or infinity from accepted input" if not_finite(result) else None), "returned"


def _place(error: BaseException) -> str:
    """The kind of an error, and the last place in the package that it passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "sam_jax/" in f.filename]
    place = (
        f"{frames[-1].filename.rpartition('sam_jax/')[2]}:{frames[-1].lineno}" if frames else "?"
    )
    return f"{type(error).__name__} at {place}: {str(error)[:100]}"
