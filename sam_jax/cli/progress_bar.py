"""The progress of commands that process photos: a bar in a terminal, lines now and then anywhere else."""

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from sam_jax.messages import LifeSigns, count

if TYPE_CHECKING:
    from sam_jax.inference.masking import PhotoOutcome


@contextmanager
def photo_progress(signs: LifeSigns | None = None) -> Iterator["PhotoProgress"]:
    """Show the progress of work on photos on the error stream.

    Args:
        signs: Signs of life of the command, if it gives them already.
    """
    screen = Console(stderr=True)
    bar = Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )
    with bar, contextlib.nullcontext(signs) if signs else LifeSigns() as shown:
        yield PhotoProgress(bar, shown)


class PhotoProgress:
    """A bar in a terminal, and signs of life anywhere else.

    Args:
        bar: Bar with the number of photos and the time left.
        signs: Lines that say what is done.
    """

    def __init__(self, bar: Progress, signs: LifeSigns) -> None:
        self._bar, self._signs = bar, signs
        self._task = bar.add_task("photos", total=None)

    def begin(self, work: str) -> None:
        """Say what is being done before the first photo."""
        self._signs.begin(work)

    def update(self, done: int, total: int, label: str = "photos") -> None:
        """Show how many photos are done."""
        self._bar.update(self._task, completed=done, total=total, description=label)
        self._signs.now(f"{label}: {done:,} of {total:,} done")

    def track(
        self, outcomes: Iterable[Any], total: int, done_before: int, label: str
    ) -> Iterator[Any]:
        """The outcomes of photos, one after the other, while the number of those that are done is shown.

        Args:
            outcomes: An outcome for each photo that is to do.
            total: Number of all photos.
            done_before: Number of photos that are done already.
            label: What is being done with the photos.
        """
        self._signs.begin(f"{label}: {count(total - done_before, 'image')} to do")
        for done, outcome in enumerate(outcomes, start=done_before + 1):
            self.update(done, total, label)
            yield outcome

    def say(self, line: str) -> None:
        """Print a line, where no bar is shown."""
        if self._bar.disable:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._signs.heard()


def track_masks(
    outcomes: Iterable["PhotoOutcome"],
    to_do: int,
    done_before: int,
    signs: LifeSigns | None = None,
    profile: Path | None = None,
) -> tuple[int, list[str], int]:
    """Mask photos, showing progress.

    Args:
        outcomes: A run over photos, which works while it is iterated.
        to_do: Number of photos that are to do.
        done_before: Number of photos that are done already.
        signs: Signs of life of the command, if it gives them already.
        profile: Local folder for a trace of the second and third photo; None for none.

    Returns:
        Number of masks that were found, problems of photos without masks, and number of photos that are left for later.
    """
    from sam_jax.profiling import Profile

    masks, problems, left = 0, [], 0
    with photo_progress(signs) as progress, Profile(profile, "photo", progress.say) as trace:
        followed = trace.follow(outcomes, to_do)
        for outcome in progress.track(followed, to_do + done_before, done_before, "finding masks"):
            masks += outcome.masks
            left += outcome.is_left
            if outcome.problem is not None:
                problems.append(outcome.problem)
            elif not outcome.is_left:
                progress.say(f"{outcome.name}: {count(outcome.masks, 'mask')}")
    return masks, problems, left
