"""`sam-jax engine check`: how good automatic masks are, by people's judgement."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.data_engine import checking


@dataclass(frozen=True, kw_only=True)
class Check:
    """Measure automatic masks as the paper did: people correct those of a sample of photos, and the IoU of both counts.

    With --sample, photos that `sam-jax engine generate` has masked are drawn and offered in sam-jax annotate like
    unfinished ones, with masks that wait to be accepted, corrected or rejected. The numbers are of the photos of the
    sample that people have finished so far.

    Example: sam-jax engine check photos/annotations.sqlite --sample 500
    """

    database: Annotated[Positional[str], arg(metavar="DATABASE")]
    """Database of sam-jax annotate: an SQLite file or an address."""
    sample: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Have a sample of this many photos, those that were drawn before included."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the draw: the same one draws the same photos."""

    def run(self) -> None:
        """Draw photos, if asked for, and print the numbers.

        Raises:
            InputError: There is no such database, or nothing to draw or to measure.
        """
        from sam_jax.data_engine.checking import draw_sample, measure_sample
        from sam_jax.data_engine.database import Database
        from sam_jax.messages import count
        from sam_jax.types import InputError

        if self.sample is not None and self.sample < 1:
            raise InputError(f"--sample is 1 or more, not {self.sample}")
        if not ("://" in self.database or Path(self.database).is_file()):
            raise InputError(f"no such database: {self.database}")
        database = Database(self.database)
        try:
            with database.writing() as connection:
                drawn = None
                if self.sample is not None:
                    drawn = draw_sample(connection, self.sample, self.seed)
                found = measure_sample(connection)
        finally:
            database.close()
        if not found.photos:
            raise InputError(
                "no photos to check: --sample N draws some of those that sam-jax engine generate has masked"
            )
        if drawn is not None:
            print(
                f"drew {count(drawn.photos, 'photo')} with {count(drawn.masks, 'automatic mask')}: "
                "correct them in sam-jax annotate"
            )
        print(f"{found.finished:,} of {count(found.photos, 'photo')} to check are finished")
        if found.finished:
            self._print_numbers(found)

    def _print_numbers(self, found: "checking.Check") -> None:
        from sam_jax.data_engine.checking import PAPER_SHARES
        from sam_jax.messages import count

        parts = [
            f"{found.share_above(iou):.1%} above {iou:.2f} (the paper: {share:.0%})"
            for iou, share in PAPER_SHARES.items()
        ]
        pairs = count(len(found.ious), "pair") + " of automatic and corrected masks"
        print(f"IoU of {pairs}: {', '.join(parts)}" if found.ious else f"no {pairs} yet")
        print(
            f"{count(found.rejected, 'automatic mask')} rejected, {found.unseen:,} not decided on, "
            f"{found.added:,} added by people"
        )
