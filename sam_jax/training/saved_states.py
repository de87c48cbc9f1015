"""Training states on disk: written aside while training goes on, whole or not at all, the newest few kept."""

import contextlib
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
from sam_jax.storage import NO_SPACE, make_folder
from sam_jax.training.config import find_differences
from sam_jax.training.state import TrainState
from sam_jax.types import InputError, RunError

Report = Callable[[str], None]
"""A function that shows a user a line of text."""

_UNFINISHED = ".orbax-checkpoint-tmp"


class Restored(NamedTuple):
    """Where a run goes on.

    Attributes:
        state: The training state, as it was saved.
        position: The position of this process's loader, which gives the next batch.
    """

    state: TrainState
    position: LoaderState


class SavedStates:
    """The saved training states of one run, a folder for each, named by the step.

    Args:
        folder: The folder of all of them.
        keep: The number of states that are kept, the newest.
        config: The description of the run's configuration, which is saved with each state.
        report: A function that is called with a line that a user should see.

    Raises:
        InputError: The folder cannot be made.
        RunError: There is no space for it.
    """

    def __init__(self, folder: Path, keep: int, config: dict[str, Any], report: Report) -> None:
        self._folder = folder.absolute()
        self._config = config
        self._report = report
        # Orbax tells of every write, and of failures, which it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        make_folder(self._folder)
        with self._explained():
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
        """Read the newest state that is whole; None if there is none.

        Args:
            like: A state of the same shapes and dtypes.
            specs: Where its leaves lie on the mesh.
            mesh: The devices, from `device_mesh`.

        Raises:
            InputError: The state belongs to a run with other settings.
            RunError: A damaged state cannot be moved aside.
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
            # Whatever is wrong with its files, an older state may be whole.
            except Exception as error:
                self._set_aside(step, error)
                continue
            position = json.loads(about["positions"][jax.process_index()])
            return Restored(_with_key_type(state), position)
        return None

    def save(self, state: TrainState, position: LoaderState, step: int) -> None:
        """Begin to write a state; writing may end while training goes on.

        Args:
            state: The training state after the step.
            position: The position of this process's loader.
            step: The number of steps done.

        Raises:
            RunError: This state or the one before could not be written; those that were there are untouched.
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
        """Return when all that was begun is on the disk.

        Raises:
            RunError: It could not be written.
        """
        with self._explained():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Give back threads and files.

        Raises:
            RunError: What was begun, and not waited for, could not be written.
        """
        with self._explained():
            self._manager.close()

    @property
    def newest(self) -> int | None:
        """The step of the newest state that is whole; None if there is none."""
        return self._manager.latest_step()

    def _read(self, step: int, **wanted: ocp.args.CheckpointArgs) -> Any:
        """One of the items that are saved together, `state` or `about`."""
        (name,) = wanted
        return self._manager.restore(step, args=ocp.args.Composite(**wanted))[name]

    def _remove_unfinished(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if _UNFINISHED in path.name:
                self._report(f"training state {path.name} was never finished: it is removed")
                shutil.rmtree(path)

    def _check(self, step: int, config: dict[str, Any]) -> None:
        if differences := find_differences(config, self._config):
            raise InputError(
                f"the training state of step {step} in {self._folder} is of a run with other settings: "
                f"{'; '.join(differences)}. Go back to those, or start in another folder"
            )

    def _set_aside(self, step: int, error: Exception) -> None:
        damaged = self._folder / f"{step}.damaged"
        self._report(
            f"the training state of step {step} is damaged ({_shorten(error, 200)}): moved to {damaged.name}, "
            "trying the one before"
        )
        with self._explained():
            (self._folder / str(step)).rename(damaged)
            self._manager.reload()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn whatever Orbax and TensorStore raise into a line that says what to do."""
        try:
            yield
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> RunError:
        reason, advice = _shorten(error, 300), "check the disk"
        if _find_error_number(error) in NO_SPACE:
            reason, advice = "no space left", "free some space"
        return RunError(
            f"cannot write training states to {self._folder}: {reason}; {advice} and start again, "
            "the run goes on from the newest whole one"
        )


def _shorten(error: Exception, length: int) -> str:
    return " ".join(str(error).split())[:length]


def _find_error_number(error: Exception) -> int | None:
    """The operating system's number of an error; TensorStore writes it in its text."""
    if isinstance(error, OSError):
        return error.errno
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return int(code[1]) if code else None


def _without_key_type(state: TrainState) -> Any:
    return state._replace(key=jax.random.key_data(state.key))._asdict()


def _with_key_type(leaves: Any) -> TrainState:
    state = TrainState(**leaves)
    return state._replace(key=jax.random.wrap_key_data(state.key))
