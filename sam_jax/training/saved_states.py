"""Training states of a run: written aside while training goes on, whole or not at all, the newest few kept.

All processes of a run decide together: which state is the newest that is whole, that it is damaged, and that one could
not be written. So none goes on from another state than the others, and none waits for one that has given up.
"""

import json
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding

from sam_jax.data.loader import LoaderState, add_up_positions
from sam_jax.distributed import broadcast_text, gather_texts
from sam_jax.storage import explaining, make_folder, remove_folder, remove_leftovers, write_text
from sam_jax.training.config import find_differences
from sam_jax.training.state import TrainState
from sam_jax.training.state_parts import (
    DamagedError,
    StoredState,
    Version,
    find_version,
    mark_of_damage,
    take_pieces,
    write_part,
)
from sam_jax.types import InputError, RunError

Report = Callable[[str], None]
"""A function that shows a user a line of text."""

_OTHER_SETTINGS, _DAMAGED, _UNREADABLE = "other settings", "damaged", "unreadable"


class Restored(NamedTuple):
    """Where a run goes on.

    Attributes:
        state: The training state, as it was saved.
        position: The position of the run's loaders, the same in all processes.
        seconds: The seconds that the run had spent in steps.
    """

    state: TrainState
    position: LoaderState
    seconds: float


class SavedStates:
    """The saved training states of one run, a folder for each, named by the step.

    All processes have to make one, and to call its methods, together.

    Args:
        folder: The folder of all of them, which all processes see.
        keep: The number of states that are kept, the newest.
        config: The description of the run's configuration, which is saved with each state.
        report: A function that is called with a line that a user should see.

    Attributes:
        newest: The step of the newest state that is whole; None if there is none.

    Raises:
        InputError: The folder cannot be made.
        RunError: There is no space for it.
    """

    def __init__(self, folder: Path, keep: int, config: dict[str, Any], report: Report) -> None:
        self._folder = folder.absolute()
        self._keep = keep
        self._config = config
        self._report = report
        self._attempt = broadcast_text(secrets.token_hex(4))
        self._pending: tuple[int, Future[None]] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="saving")
        self._steps: list[int] = []
        self._look()

    @property
    def newest(self) -> int | None:
        """The step of the newest state that is whole; None if there is none."""
        return max(self._steps, default=None)

    def restore(self, like: TrainState, specs: TrainState, mesh: Mesh) -> Restored | None:
        """Read the newest state that is whole; None if there is none.

        Args:
            like: A state of the same shapes and dtypes.
            specs: Where its leaves lie on the mesh.
            mesh: The devices, from `device_mesh`.

        Raises:
            InputError: The state belongs to a run with other settings.
            RunError: A state cannot be read although nothing says that it is damaged, or cannot be marked as damaged.
        """
        abstract = jax.tree.map(
            lambda leaf, spec: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
            ),
            jax.eval_shape(_without_key_type, like),
            specs._asdict(),
        )
        while self._steps:
            step = self._steps[-1]
            restored, problems = self._agree(lambda step=step: self._read(step, abstract))
            reasons = dict(reversed(problems))
            if _UNREADABLE in reasons:
                raise RunError(
                    f"cannot read the training state of step {step} in {self._folder}: {reasons[_UNREADABLE]}; "
                    "start again when it can be read"
                )
            if _DAMAGED in reasons:
                self._set_aside(step, reasons[_DAMAGED])
            elif _OTHER_SETTINGS in reasons:
                raise InputError(reasons[_OTHER_SETTINGS])
            else:
                return restored
        return None

    def save(
        self, state: TrainState, position: LoaderState, step: int, seconds: float = 0.0
    ) -> None:
        """Begin to write a state; writing may end while training goes on.

        Args:
            state: The training state after the step.
            position: The position of this process's loader.
            step: The number of steps done.
            seconds: The seconds that the run has spent in steps.

        Raises:
            RunError: This state or the one before could not be written; those that were there are untouched.
        """
        self.wait()
        if step in self._steps:
            return
        positions = [json.loads(text) for text in gather_texts(json.dumps(position))]
        about = {
            "config": self._config,
            "position": add_up_positions(positions),
            "seconds": seconds,
        }
        pieces = take_pieces(_without_key_type(state))
        path = self._version.path(self._folder / str(step), jax.process_index())

        def write() -> None:
            make_folder(path.parent)
            write_part(path, pieces, about)

        self._pending = (step, self._writer.submit(write))

    def wait(self) -> None:
        """Return when all that was begun is stored.

        Raises:
            RunError: It could not be written, by this process or another.
        """
        if self._pending is None:
            return
        step, written = self._pending
        self._pending = None
        _, problems = self._agree(written.result)
        if problems:
            raise RunError(
                f"{problems[0][1]}; the run goes on from its newest whole training state"
            )
        self._steps = sorted({*self._steps, step})
        self._steps, old = self._steps[-self._keep :], self._steps[: -self._keep]
        if jax.process_index() == 0:
            for other in old:
                remove_folder(self._folder / str(other))

    def close(self) -> None:
        """Give back threads and files; what was begun and not waited for is written first, as far as it can be."""
        self._writer.shutdown()

    @property
    def _version(self) -> Version:
        """The version that this run writes."""
        return Version(self._attempt, jax.process_count())

    def _look(self) -> None:
        """Find the states that are whole, as the first process sees them, and remove what is no state."""

        def look() -> str:
            if jax.process_index() > 0:
                return ""
            make_folder(self._folder)
            remove_leftovers(self._folder)
            whole = []
            for path in sorted(self._folder.iterdir()):
                if not path.name.isdigit():
                    continue
                if find_version(path):
                    whole.append(int(path.name))
                elif not any(file.name.endswith(".damaged.txt") for file in path.iterdir()):
                    self._report(f"training state {path.name} was never finished: it is removed")
                    remove_folder(path)
            return json.dumps(sorted(whole))

        found, problems = self._agree(look)
        if problems:
            kind = InputError if problems[0][0] == _OTHER_SETTINGS else RunError
            raise kind(problems[0][1])
        self._steps = json.loads(broadcast_text(found or "[]"))

    def _read(self, step: int, abstract: Any) -> Restored:
        folder = self._folder / str(step)
        version = find_version(folder)
        if version is None:
            raise DamagedError("a file has vanished")
        stored = StoredState(folder, version)
        self._check(step, stored.about["config"])
        state = _with_key_type(stored.read(abstract))
        return Restored(state, stored.about["position"], stored.about["seconds"])

    def _check(self, step: int, config: dict[str, Any]) -> None:
        if differences := find_differences(config, self._config):
            raise InputError(
                f"the training state of step {step} in {self._folder} is of a run with other settings: "
                f"{'; '.join(differences)}. Go back to those, or start in another folder"
            )

    def _set_aside(self, step: int, reason: str) -> None:
        """Mark a state as damaged, for good; its files stay for whoever wants to look at them."""
        self._report(
            f"the training state of step {step} is damaged ({reason}): left aside, trying the one before"
        )

        def mark() -> None:
            folder = self._folder / str(step)
            if jax.process_index() == 0 and (version := find_version(folder)):
                write_text(folder / mark_of_damage(version), f"{reason}\n")

        _, problems = self._agree(mark)
        if problems:
            raise RunError(problems[0][1])
        self._steps.remove(step)

    def _agree(self, work: Callable[[], Any]) -> tuple[Any, list[tuple[str, str]]]:
        """Do something that may fail; the result, and the problems of all processes, each with its kind."""
        result, problem = None, None
        try:
            with explaining(self._folder):
                result = work()
        except DamagedError as error:
            problem = (_DAMAGED, str(error))
        except InputError as error:
            problem = (_OTHER_SETTINGS, str(error))
        except (RunError, OSError) as error:
            problem = (_UNREADABLE, str(error))
        answers = [json.loads(text) for text in gather_texts(json.dumps(problem))]
        return result, [(kind, reason) for kind, reason in filter(None, answers)]


def _without_key_type(state: TrainState) -> Any:
    key = jax.random.key_data(state.key)
    return state._replace(key=jax.lax.bitcast_convert_type(key, "int32"))._asdict()


def _with_key_type(leaves: Any) -> TrainState:
    state = TrainState(**leaves)
    key = jax.lax.bitcast_convert_type(state.key, "uint32")
    return state._replace(key=jax.random.wrap_key_data(key))
