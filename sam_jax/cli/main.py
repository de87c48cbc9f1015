"""The program `sam-jax`: runs the sub-command, and turns what goes wrong into one line and an exit code.

What takes long to import is imported inside of the functions, so that Ctrl-C is one line from the first moment.
"""

import contextlib
import errno
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence

TRAIN, EVALUATE, ENGINE, EXPORT = "train", "evaluate", "engine", "export"
CLUSTER = "cluster"
EXTRAS = {
    "alembic": ENGINE,
    "array_record": TRAIN,
    "cv2": TRAIN,
    "faster_coco_eval": EVALUATE,
    "grain": TRAIN,
    "matplotlib": EVALUATE,
    "onnx": EXPORT,
    "onnxruntime": EXPORT,
    "optax": TRAIN,
    "orbax": TRAIN,
    "pycocotools": TRAIN,
    "psycopg": ENGINE,
    "ray": CLUSTER,
    "skimage": EVALUATE,
    "sqlalchemy": ENGINE,
    "starlette": ENGINE,
    "tensorboardX": TRAIN,
    "tensorflow_datasets": TRAIN,
    "uvicorn": ENGINE,
}
"""Extra that installs the package of each of these import names."""

GRACE_SECONDS = 2
"""The time that the first process, which the others are connected to, leaves them for their own last line."""
BAD_INPUT = 2
STOPPED = 1
INTERRUPTED = 130

_PLACES = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST),
)
"""Error numbers of paths that cannot be used, which the user can mend."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sam-jax` and return its exit code.

    Args:
        arguments: What follows the program's name; the default is what the process was started with.

    Raises:
        SystemExit: Help was asked for (code 0), or an option does not exist (code 2).
    """
    if arguments is not None:
        return _end_well(arguments)
    _open_streams()
    with _libraries_apart():
        code = _end_well(sys.argv[1:])
        _leave_others(code)
        return code


def _end_well(arguments: Sequence[str]) -> int:
    """Run a command line with its last lines: what was interrupted, and what standard output did not take."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal has no letters for is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED, prefix="")
    except OSError as error:  # of the flush: of all else, the line is said already
        _silence(sys.stdout)
        return _complain(f"cannot write to standard output: {error.strerror or error}", STOPPED)


def _run(arguments: Sequence[str]) -> int:
    from sam_jax.cli.supervision import (
        LOST,
        end_with_supervisor,
        is_supervised,
        is_to_be_supervised,
        supervise,
    )

    if is_to_be_supervised(arguments):
        return supervise(arguments)
    if is_supervised():
        end_with_supervisor()
    from sam_jax.cli.commands import locate_places, read_command

    command = read_command(arguments)
    from sam_jax.cli.notes import one_line_notes
    from sam_jax.types import InputError, RunError

    try:
        with one_line_notes():
            locate_places(command).run()
    except InputError as error:
        return _complain(str(error), BAD_INPUT)
    except RunError as error:
        return _complain(str(error), STOPPED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = EVALUATE if type(command).__name__ == "Evaluate" else EXTRAS[package]
        message = f"{package} is not installed: pip install 'sam-jax[{extra}]'"
        return _complain(message, BAD_INPUT)
    except OSError as error:
        return _explain(error)
    except UnicodeError as error:
        return _complain(f"text in an encoding that cannot be used here: {error}", STOPPED)
    except MemoryError:
        return _complain("not enough memory: take a smaller photo, size or number", STOPPED)
    except RecursionError:
        return _complain("something that was read is nested too deeply", STOPPED)
    except (RuntimeError, ValueError) as error:
        if _is_loss_of_another(error):
            message = "another process of this run has ended or cannot be reached"
            advice = "start again, the run goes on from its newest whole training state"
            return _complain(f"{message}; {advice}", LOST)
        if "RESOURCE_EXHAUSTED" not in str(error) and "out of memory" not in str(error).lower():
            raise
        return _complain("not enough memory: take a smaller photo, size or number", STOPPED)
    return 0


def _is_one_of_several() -> bool:
    """Whether this process has joined others."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1


def _is_loss_of_another(error: RuntimeError | ValueError) -> bool:
    """Whether the devices of several processes could not talk to each other; what JAX raises then depends on where."""
    is_of_devices = type(error).__name__ == "JaxRuntimeError" or str(error).startswith("UNKNOWN: ")
    return is_of_devices and _is_one_of_several()


def _leave_others(code: int) -> None:
    """End this process at once if it has failed and others may not know: JAX would wait for them, and they for it."""
    from sam_jax.cli.supervision import is_supervised

    if code in (0, INTERRUPTED) or not (is_supervised() and _is_one_of_several()):
        return
    import jax

    if jax.process_index() == 0:
        time.sleep(GRACE_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _explain(error: OSError) -> int:
    """Say what the operating system refused, where no other place has said it better."""
    if isinstance(error, BrokenPipeError) and error.filename is None:
        _silence(sys.stdout)
        return _complain("cannot write to standard output: nobody reads it any more", STOPPED)
    place = "" if error.filename is None else f"{error.filename}: "
    code = BAD_INPUT if error.errno in _PLACES and place else STOPPED
    return _complain(f"{place}{error.strerror or error}", code)


def _complain(message: str, code: int, prefix: str = "error: ") -> int:
    try:
        print(prefix + " ".join(message.splitlines()), file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)
    return code


def _open_streams() -> None:
    """Let the null device stand for standard streams that are closed.

    Otherwise the next file that is opened takes the number of one, and whatever a library prints lands in that file.
    """
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


@contextlib.contextmanager
def _libraries_apart() -> Iterator[None]:
    """Keep the lines that libraries in C and C++ print on the error stream from ours, and show them after a failure.

    They go into a file without a name. Ours go where they went before.
    """
    import tempfile

    try:
        ours, theirs = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115
    except OSError:  # no place for the file
        yield
        return
    before = sys.stderr
    sys.stderr = open(ours, "w", buffering=1, encoding=before.encoding)  # noqa: SIM115
    os.dup2(theirs.fileno(), 2)
    try:
        yield
    except Exception:
        theirs.seek(0)
        print(theirs.read().decode(errors="replace"), file=sys.stderr, end="")
        raise


def _silence(stream: object) -> None:
    """Let what is still to be written to a stream go nowhere, when the process ends at the latest."""
    with contextlib.suppress(OSError, AttributeError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # pyright: ignore[reportAttributeAccessIssue]
        os.close(null)
