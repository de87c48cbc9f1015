"""Training states as Orbax keeps them: a folder for each, on a disk or in a bucket of Google Cloud Storage.

A state's folder gets its last file, Orbax's mark, when all processes have written their parts of it: so nothing is
renamed, neither in a bucket nor on a disk, and a folder without the mark is no state.
"""

import contextlib
import errno
import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from sam_jax.distributed import GaveUpError, Meeting
from sam_jax.storage import BucketPath, remove_folder, write_text
from sam_jax.types import InputError, RunError

_MARK = ocp.path.atomicity.COMMIT_SUCCESS_FILE
_MARK_OF_DAMAGE = "damaged.txt"
_STATE, _ABOUT = "state", "about"
_PLACE_OR_NETWORK = re.compile(
    "UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAUTHENTICATED|ABORTED|CANCELLED|os_error_code="
)
"""What TensorStore says, in errors of the same kind, when files may be whole but cannot be read now."""
_ERROR_NUMBER = re.compile(r"os_error_code='(\d+)'")
_LONGEST_REASON = 200
_LEAST_PART = 1 << 20
"""Size in bytes from which devices that hold the same array write a part each: cutting up small ones takes longer."""


class DamagedError(Exception):
    """Files of a state are missing, cut off or changed."""


def check_place_of_states(folder: Path) -> None:
    """Refuse a place where Orbax keeps no states.

    Raises:
        InputError: The folder is in a bucket of S3, or what Google Cloud Storage needs is not installed.
    """
    if not isinstance(folder, BucketPath):
        return
    if folder.parts[0] != "gs:":
        raise InputError(
            f"{folder}: Orbax, which saves training states, cannot write to s3://; mount the bucket as a folder, or "
            "name a folder that all hosts share or gs://BUCKET/..."
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise InputError(
            "training states in gs:// need the package gcsfs: pip install 'sam-jax[cloud]'"
        )


class OrbaxStates:
    """The folder of the states of a run.

    Args:
        folder: The folder, which all processes see, from which `check_place_of_states` returns.
    """

    def __init__(self, folder: Path) -> None:
        # Orbax tells of every write, and of failures, which it raises as well; gcsfs of what it needs no answer to.
        for name in ("absl", "gcsfs"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._folder = folder
        self._meeting = Meeting(times=2)  # when all have written, and when it is marked as whole
        processes = ocp.options.MultiprocessingOptions(
            active_processes=set(range(jax.process_count()))
        )
        asynchronous = ocp.AsyncOptions(
            barrier_sync_fn=lambda *, key, timeout_ms: self._meeting.wait(timeout_ms),
            # Otherwise its threads wait, ten minutes and more, for folders that a full disk refuses to make.
            create_directories_asynchronously=False,
        )
        self._writer = ocp.AsyncCheckpointer(
            _make_handler(processes, asynchronous),
            async_options=asynchronous,
            multiprocessing_options=processes,
            atomicity_options=_WITHOUT_RENAMING,
        )
        # Each process reads alone, and waits for no other: one of them may find damage where the others find none.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(), active_processes={jax.process_index()}
        )
        self._reader = ocp.Checkpointer(
            _make_handler(alone, ocp.AsyncOptions()),
            multiprocessing_options=alone,
            atomicity_options=_WITHOUT_RENAMING,
        )

    def find(self) -> tuple[list[int], list[int]]:
        """The steps of the states that are whole and not known to be damaged, and of those that were never finished.

        Raises:
            OSError: The folder cannot be read.
            RunError: The bucket cannot be reached.
        """
        whole, unfinished = [], []
        for path in self._folder.iterdir():
            if path.name.isdigit() and not (path / _MARK_OF_DAMAGE).exists():
                (whole if (path / _MARK).exists() else unfinished).append(int(path.name))
        return sorted(whole), sorted(unfinished)

    def begin(self, step: int, state: Any, about: Any) -> None:
        """Begin to write a state, in all processes together; what is there of that step is removed.

        Args:
            step: The step, after which the folder is named.
            state: A tree of arrays.
            about: What is kept beside them, as JSON can hold it.

        Raises:
            OSError: It cannot be written. Other processes may find that they can.
        """
        self._meeting.begin()
        with self._giving_up(), self._translating():
            self._writer.save(
                os.fspath(self._folder / str(step)),
                args=ocp.args.Composite(
                    **{_STATE: ocp.args.PyTreeSave(state), _ABOUT: ocp.args.JsonSave(about)}
                ),
                force=True,
            )

    def finish(self) -> None:
        """Return when what was begun is written by all processes, or one of them has failed.

        Raises:
            OSError: This process could not write it.
        """
        with self._giving_up(), self._translating(), contextlib.suppress(GaveUpError):
            self._writer.wait_until_finished()

    def read_about(self, step: int) -> Any:
        """What is kept beside the arrays of a state.

        Raises:
            DamagedError: Something is missing or changed.
            OSError: It cannot be read.
            RunError: The bucket cannot be reached.
        """
        return self._read(step, _ABOUT, ocp.args.JsonRestore())

    def read_state(self, step: int, like: Any) -> Any:
        """The arrays of a state on devices; each process reads what lies on its own.

        Args:
            step: The step.
            like: The tree with a `jax.ShapeDtypeStruct`, sharding included, in place of each array.

        Raises:
            DamagedError: Something is missing or changed.
            OSError: It cannot be read.
            RunError: The bucket cannot be reached.
        """
        how = ocp.checkpoint_utils.construct_restore_args(like)
        return self._read(step, _STATE, ocp.args.PyTreeRestore(like, restore_args=how))

    def mark_as_damaged(self, step: int, reason: str) -> None:
        """Leave a state aside for good; its files stay until that step is saved again.

        Raises:
            InputError: The folder cannot be written to.
            RunError: The disk is full or broken, or the bucket cannot be reached.
        """
        write_text(self._folder / str(step) / _MARK_OF_DAMAGE, f"{reason}\n")

    def remove(self, step: int) -> None:
        """Remove a state, as far as that is possible; what may be left of it is no state."""
        path = self._folder / str(step)
        with contextlib.suppress(OSError, RunError):
            (path / _MARK).unlink(missing_ok=True)
            remove_folder(path)

    def close(self) -> None:
        """Give back threads; what was begun is written first, as far as it can be."""
        with contextlib.suppress(OSError, jax.errors.JaxRuntimeError):
            self.finish()
        for checkpointer in (self._writer, self._reader):
            checkpointer.close()

    def _read(self, step: int, item: str, arguments: Any) -> Any:
        try:
            return self._try_to_read(step, item, arguments)
        except DamagedError:
            # To gcsfs, what it cannot reach does not exist: so damage has to be seen twice, and the folder in between.
            list((self._folder / str(step)).iterdir())
            return self._try_to_read(step, item, arguments)

    def _try_to_read(self, step: int, item: str, arguments: Any) -> Any:
        path, wanted = os.fspath(self._folder / str(step)), ocp.args.Composite(**{item: arguments})
        with self._translating():
            try:
                return self._reader.restore(path, args=wanted)[item]
            except (ValueError, LookupError, TypeError, FileNotFoundError) as error:
                if _PLACE_OR_NETWORK.search(str(error)):
                    raise
                raise DamagedError(_shorten(error)) from error

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Tell the other processes when this one fails, so that they don't wait for it."""
        try:
            yield
        except BaseException:
            self._meeting.give_up()
            raise

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        """Turn whatever Orbax, TensorStore and gcsfs raise into the errors of files."""
        try:
            yield
        except (DamagedError, jax.errors.JaxRuntimeError):  # the latter are not of files
            raise
        except Exception as error:
            cause = error.__cause__
            if cause is not None and isinstance(cause, jax.errors.JaxRuntimeError):
                raise cause from None
            raise _translate(error) from error


_WITHOUT_RENAMING = ocp.options.AtomicityOptions(ocp.options.AtomicityMode.COMMIT_FILE)


def _make_handler(
    processes: ocp.options.MultiprocessingOptions, asynchronous: ocp.AsyncOptions
) -> ocp.CompositeCheckpointHandler:
    return ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(
            multiprocessing_options=processes,
            async_options=asynchronous,
            atomicity_options=_WITHOUT_RENAMING,
        ),
        **{
            _STATE: ocp.PyTreeCheckpointHandler(
                multiprocessing_options=processes,
                type_handler_registry=ocp.type_handlers.create_type_handler_registry(
                    (
                        jax.Array,
                        ocp.type_handlers.ArrayHandler(
                            min_slice_bytes_for_replica_parallel=_LEAST_PART
                        ),
                    )
                ),
            ),
            _ABOUT: ocp.JsonCheckpointHandler(multiprocessing_options=processes),
        },
    )


def _translate(error: Exception) -> OSError:
    """The operating system's error, whose number TensorStore writes in its text, or one that only has a text."""
    if code := _ERROR_NUMBER.search(str(error)):
        return OSError(int(code[1]), os.strerror(int(code[1])))
    if isinstance(error, OSError) and error.errno:
        return OSError(error.errno, error.strerror or _shorten(error))
    return OSError(errno.EIO, _shorten(error))


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:_LONGEST_REASON]
