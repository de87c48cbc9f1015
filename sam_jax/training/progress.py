"""The progress of a run on the screen: a bar in a terminal, a line now and then anywhere else."""

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sam_jax.messages import LifeSigns
from sam_jax.training.metrics import RATE
from sam_jax.training.utilisation import UTILISATION

_FIRST_STEP = "compiling the first step"
SHOWN = ("loss", "dice", "iou_error", "first_iou", "last_iou")
"""Names of the metrics that are shown, where an objective has them; see `sam_jax.training.interaction.Metrics`."""


class ProgressReport:
    """Shows the steps done, their rate, the time left, and losses.

    Args:
        step: The step that the run starts from.
        steps: Number of steps of the whole run.
        signs: Signs of life of the run, for where no bar is shown.
        is_silent: Whether nothing is shown, as in all processes but the first.
    """

    def __init__(self, step: int, steps: int, signs: LifeSigns, *, is_silent: bool) -> None:
        self._console = Console(file=sys.stderr, quiet=is_silent, markup=False, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps, completed=step, losses="")
        self._step, self._steps, self._signs = step, steps, signs
        signs.now(_FIRST_STEP)

    def __enter__(self) -> "ProgressReport":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, soft_wrap=True)
        self._signs.heard()

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show another bar for work before the first step.

        Args:
            what: Name of the work.
            total: Number of its parts.

        Yields:
            A function to call after each part.
        """
        task = self._bar.add_task(what, total=total, losses="")
        done = itertools.count(1)

        def advance() -> None:
            self._bar.advance(task)
            self._signs.now(f"{what}: {next(done)} of {total} done")

        yield advance
        self._bar.remove_task(task)
        self._signs.now(_FIRST_STEP)

    def advance(self, step: int) -> None:
        """Show that the steps up to `step` are done."""
        self._step = step
        self._bar.update(self._task, completed=step)
        self._signs.now(f"step {step} of {self._steps} is done")

    def show(self, metrics: Mapping[str, float]) -> None:
        """Show losses and the rate of steps."""
        losses = "  ".join(f"{name} {metrics[name]:.3f}" for name in SHOWN if name in metrics)
        rate = metrics[RATE]
        speed = f"{rate:.3g} steps/s"
        if UTILISATION in metrics:
            speed += f", {metrics[UTILISATION]:.1%} of peak"
        if self._console.is_terminal:
            self._bar.update(self._task, losses=f"{speed}  {losses}")
        elif rate:
            left = _duration((self._steps - self._step) / rate)
            self.say(f"step {self._step}/{self._steps}  {speed}  {left} left  {losses}")
        else:
            self.say(f"step {self._step}/{self._steps}  {losses}")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
