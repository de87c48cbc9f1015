"""Training states of a run: written aside while training goes on, whole or not at all, the newest few kept.

All processes of a run decide together: which state is the newest that is whole, that it is damaged, and that one could
not be written. So none goes on from another state than the others, and none waits for one that has given up.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding

from sam_jax.data.loader import LoaderState, add_up_positions
from sam_jax.distributed import broadcast_text, gather_texts
from sam_jax.storage import explaining, make_folder
from sam_jax.training.checksums import sum_up
from sam_jax.training.config_differences import find_differences
from sam_jax.training.orbax_states import DamagedError, OrbaxStates
from sam_jax.training.state import TrainState
from sam_jax.types import InputError, RunError

Report = Callable[[str], None]
"""A function that shows a user a line of text."""

_OTHER_SETTINGS, _DAMAGED, _UNREADABLE = "other settings", "damaged", "unreadable"
_ABOUT = {"config", "sums", "position", "seconds"}
"""Names of what is kept beside the arrays."""


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


class _Found(NamedTuple):
    """A state as it was read: its arrays, and what is kept beside them."""

    leaves: Any
    about: dict[str, Any]


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
        self._states = OrbaxStates(self._folder)
        self._pending: int | None = None
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
            found, problems = self._agree(lambda step=step: self._read(step, abstract))
            reasons = dict(reversed(problems))
            if _UNREADABLE in reasons:
                raise RunError(
                    f"cannot read the training state of step {step} in {self._folder}: {reasons[_UNREADABLE]}; "
                    "start again when it can be read"
                )
            if not problems and sum_up(found.leaves) != found.about["sums"]:
                reasons[_DAMAGED] = "what it holds is not what was saved"
            if _DAMAGED in reasons:
                self._set_aside(step, reasons[_DAMAGED])
            elif _OTHER_SETTINGS in reasons:
                raise InputError(reasons[_OTHER_SETTINGS])
            else:
                about = found.about
                return Restored(_with_key_type(found.leaves), about["position"], about["seconds"])
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
        leaves = _without_key_type(state)
        about = {
            "config": self._config,
            "sums": sum_up(leaves),
            "position": add_up_positions(positions),
            "seconds": seconds,
        }

        def begin() -> None:
            with explaining(self._folder / str(step)):
                self._states.begin(step, leaves, about)

        self._pending = step
        self._agree_on_writing(begin)

    def wait(self) -> None:
        """Return when all that was begun is stored.

        Raises:
            RunError: It could not be written, by this process or another.
        """
        if self._pending is None:
            return
        step = self._pending

        def finish() -> None:
            with explaining(self._folder / str(step)):
                self._states.finish()

        self._agree_on_writing(finish)
        self._pending = None
        self._steps = sorted({*self._steps, step})
        self._steps, old = self._steps[-self._keep :], self._steps[: -self._keep]
        if jax.process_index() == 0:
            for other in old:
                self._states.remove(other)

    def close(self) -> None:
        """Give back threads and files; what was begun and not waited for is written first, as far as it can be."""
        self._states.close()

    def _look(self) -> None:
        """Find the states that are whole, as the first process sees them, and remove what is no state."""

        def look() -> str:
            if jax.process_index() > 0:
                return ""
            make_folder(self._folder)
            with explaining(self._folder):
                whole, unfinished = self._states.find()
            for step in unfinished:
                self._report(f"training state {step} was never finished: it is removed")
                self._states.remove(step)
            return json.dumps(whole)

        found, problems = self._agree(look)
        if problems:
            kind = InputError if problems[0][0] == _OTHER_SETTINGS else RunError
            raise kind(problems[0][1])
        self._steps = json.loads(broadcast_text(found or "[]"))

    def _read(self, step: int, abstract: Any) -> _Found:
        with _not_taking_for_settings():
            about = self._states.read_about(step)
        if not isinstance(about, dict) or not _ABOUT.issubset(about):
            raise DamagedError("what belongs to the arrays is missing")
        self._check(step, about["config"])
        with _not_taking_for_settings():
            leaves = self._states.read_state(step, abstract)
        return _Found(leaves, about)

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
            if jax.process_index() == 0:
                with explaining(self._folder / str(step)):
                    self._states.mark_as_damaged(step, reason)

        _, problems = self._agree(mark)
        if problems:
            raise RunError(problems[0][1])
        self._steps.remove(step)

    def _agree_on_writing(self, write: Callable[[], None]) -> None:
        _, problems = self._agree(write)
        if problems:
            self._pending = None
            raise RunError(
                f"{problems[0][1]}; the run goes on from its newest whole training state"
            )

    def _agree(self, work: Callable[[], Any]) -> tuple[Any, list[tuple[str, str]]]:
        """Do something that may fail; the result, and the problems of all processes, each with its kind."""
        result, problem = None, None
        try:
            result = work()
        except DamagedError as error:
            problem = (_DAMAGED, str(error))
        except InputError as error:
            problem = (_OTHER_SETTINGS, str(error))
        except RunError as error:
            problem = (_UNREADABLE, str(error))
        answers = [json.loads(text) for text in gather_texts(json.dumps(problem))]
        return result, [(kind, reason) for kind, reason in filter(None, answers)]


@contextlib.contextmanager
def _not_taking_for_settings() -> Iterator[None]:
    """Turn the operating system's errors of reading, whatever they are, into something that may pass."""
    try:
        yield
    except OSError as error:
        raise RunError(error.strerror or str(error)) from error


def _without_key_type(state: TrainState) -> Any:
    return state._replace(key=jax.random.key_data(state.key))._asdict()


def _with_key_type(leaves: Any) -> TrainState:
    state = TrainState(**leaves)
    return state._replace(key=jax.random.wrap_key_data(state.key))
