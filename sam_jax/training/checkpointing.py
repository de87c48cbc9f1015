"""The state of a run on disk: written aside while training goes on, whole or not at all, the newest few kept."""

import contextlib
import errno
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding

from sam_jax.data.loader import LoaderState
from sam_jax.distributed import gather_texts
from sam_jax.training.config import find_differences
from sam_jax.training.state import TrainState
from sam_jax.types import CheckpointError, InputError

Report = Callable[[str], None]

_UNFINISHED = ".orbax-checkpoint-tmp"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Restored(NamedTuple):
    """Where a run goes on.

    Attributes:
        state: as it was.
        position: of this process's loader, which gives the next batch.
    """

    state: TrainState
    position: LoaderState


class Checkpoints:
    """The checkpoints of one run, a folder each, named by the step.

    Args:
        folder: of all of them.
        keep: how many of the newest stay.
        config: description of the run, kept beside the state.
        report: told in a line what a user should know.

    Raises:
        CheckpointError: the folder cannot be made.
    """

    def __init__(self, folder: Path, keep: int, config: dict[str, Any], report: Report) -> None:
        self._folder = folder.absolute()
        self._config = config
        self._report = report
        # Orbax tells of every write, and of failures, which it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        with self._explained():
            self._folder.mkdir(parents=True, exist_ok=True)
            if jax.process_index() == 0:
                self._remove_unfinished()
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=keep,
                    save_root_metadata=False,
                    # Otherwise its threads wait, ten minutes and more, for folders that a full disk refuses to make.
                    async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
                ),
            )

    def restore(self, like: TrainState, specs: TrainState, mesh: Mesh) -> Restored | None:
        """The newest whole checkpoint; None if there is none.

        Args:
            like: a state of the same shapes.
            specs: where its leaves lie.
            mesh: from `device_mesh`.

        Raises:
            InputError: it belongs to a run with other settings.
        """
        abstract = jax.tree.map(
            lambda leaf, spec: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
            ),
            jax.eval_shape(_without_key_type, like),
            specs._asdict(),
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                about = self._read(step, about=ocp.args.JsonRestore())
                self._check(step, about["config"])
                state = self._read(step, state=ocp.args.StandardRestore(abstract))
            except InputError:
                raise
            # Whatever is wrong with its files, an older checkpoint may be whole.
            except Exception as error:
                self._set_aside(step, error)
                continue
            position = json.loads(about["positions"][jax.process_index()])
            return Restored(_with_key_type(state), position)
        return None

    def save(self, state: TrainState, position: LoaderState, step: int) -> None:
        """Begin to write a checkpoint; it may end while training goes on.

        Raises:
            CheckpointError: this or the one before could not be written; those that were there are untouched.
        """
        positions = gather_texts(json.dumps(position))
        with self._explained():
            if step in self._manager.all_steps():
                return
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(_without_key_type(state)),
                    about=ocp.args.JsonSave({"config": self._config, "positions": positions}),
                ),
            )

    def wait(self) -> None:
        """Until all that was begun is on the disk.

        Raises:
            CheckpointError: it could not be written.
        """
        with self._explained():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Give back what it holds.

        Raises:
            CheckpointError: what was begun, and not waited for, could not be written.
        """
        with self._explained():
            self._manager.close()

    @property
    def newest(self) -> int | None:
        """Step of the newest one that is whole."""
        return self._manager.latest_step()

    def _read(self, step: int, **wanted: ocp.args.CheckpointArgs) -> Any:
        """One of the things in a checkpoint."""
        (name,) = wanted
        return self._manager.restore(step, args=ocp.args.Composite(**wanted))[name]

    def _remove_unfinished(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if _UNFINISHED in path.name:
                self._report(f"checkpoint {path.name} was never finished: it is removed")
                shutil.rmtree(path)

    def _check(self, step: int, config: dict[str, Any]) -> None:
        if differences := find_differences(config, self._config):
            raise InputError(
                f"checkpoint {step} in {self._folder} is of a run with other settings: {'; '.join(differences)}. "
                "Go back to those, or start in another folder"
            )

    def _set_aside(self, step: int, error: Exception) -> None:
        damaged = self._folder / f"{step}.damaged"
        reason = " ".join(str(error).split())[:200]
        self._report(
            f"checkpoint {step} is damaged ({reason}): moved to {damaged.name}, trying the one before"
        )
        with self._explained():
            (self._folder / str(step)).rename(damaged)
            self._manager.reload()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Orbax and TensorStore raise what they find; here it becomes a line that says what to do."""
        try:
            yield
        except Exception as error:
            reason, advice = " ".join(str(error).split())[:300], "check the disk"
            if _find_error_number(error) in NO_SPACE:
                reason, advice = "no space left", "free some space"
            raise CheckpointError(
                f"cannot write checkpoints to {self._folder}: {reason}; {advice} and start again, "
                "the run goes on from the newest whole one"
            ) from error


def _find_error_number(error: Exception) -> int | None:
    """Of the operating system; TensorStore has it in its text."""
    if isinstance(error, OSError):
        return error.errno
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return int(code[1]) if code else None


def _without_key_type(state: TrainState) -> Any:
    return state._replace(key=jax.random.key_data(state.key))._asdict()


def _with_key_type(leaves: Any) -> TrainState:
    state = TrainState(**leaves)
    return state._replace(key=jax.random.wrap_key_data(state.key))
