"""`sam-jax engine train`, `use` and `status`: versions of the model, trained on what people have masked."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from sam_jax.cli.decoder_options import DecoderTraining
from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.data_engine.loop_state import DrawnWith, LoopState
    from sam_jax.data_engine.versions import Version
    from sam_jax.evaluation.held_back import Gain

DatabasePlace = Annotated[Positional[str], arg(metavar="DATABASE")]


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """Train a new version of the model on the masks that have come in, and put it in use if it is no worse.

    It learns what is there when it begins, while people go on. Photos that are held back are measured before and after;
    a photo that was held back once stays so. A running sam-jax annotate takes the version up by itself. Older versions
    stay: sam-jax engine use goes back to them.

    Ctrl-C, SIGTERM and --max-seconds save and stop. The same command goes on from there, also after a crash.

    Example: sam-jax engine train photos/annotations.sqlite
    """

    database: DatabasePlace
    """Database of sam-jax annotate: an SQLite file, or an address."""
    checkpoint: Annotated[Path | None, arg(metavar="C", help_behavior_hint=UNSET)] = None
    """Weights to begin with, such as those of a larger image encoder; the default is the version in use."""
    hold_back: Annotated[int, arg(metavar="N")] = 5
    """Every Nth photo of the database, from the first on, is held out of training, to measure; 0 for none."""
    automatic: FlagCreatePairsOff[bool] = False
    """Learn fully automatic masks, too, that nobody has looked at."""
    anew: FlagCreatePairsOff[bool] = False
    """Leave a version behind whose training has not ended, and begin another."""
    max_seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint=UNSET)] = None
    """Time in seconds after which the run is saved and stopped."""
    training: Annotated[OmitArgPrefixes[DecoderTraining], arg(name="")] = field(
        default_factory=DecoderTraining
    )

    def run(self) -> None:
        """Train the version, and print what the held-back photos say of it."""
        started = time.perf_counter()
        import contextlib

        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.training_command import train_and_report
        from sam_jax.data_engine.retraining import (
            PICTURE,
            RetrainingConfig,
            finish_retraining,
            retraining,
        )
        from sam_jax.data_engine.versions import open_existing
        from sam_jax.messages import LifeSigns, count, print_line

        keep_compiled_programs()
        config = RetrainingConfig(
            finetuning=self.training.make_config(hold_back=self.hold_back),
            with_automatic=self.automatic,
        )
        with (
            contextlib.closing(open_existing(self.database)) as database,
            retraining(database, config, checkpoint=self.checkpoint, anew=self.anew) as begun,
        ):
            learned = begun.learned
            print_line(
                f"version {begun.number}, from version {begun.origin}: {count(learned.masks, 'mask')} of "
                f"{count(learned.photos, 'photo')}, held-back ones included"
            )
            ending = train_and_report(
                begun.run, begun.folder, self.max_seconds, started, begun.embeddings
            )
            if ending.name != "FINISHED":
                return
            with LifeSigns() as signs:
                signs.begin("measuring photos that were held back, before and after")
                version, gain = finish_retraining(database, begun)
        _print_gain(gain, begun.folder / PICTURE)
        print(
            f"version {version.number} is in use: sam-jax annotate takes it up"
            if version.in_use
            else f"version {version.number} is worse and not in use; sam-jax engine use "
            f"{self.database} {version.number} takes it nevertheless"
        )


def _print_gain(gain: "Gain | None", picture: Path) -> None:
    if gain is None:
        print("no object of a photo was held back to measure")
        return
    print(f"{gain.describe()}; truth, before and after in {picture}")


@dataclass(frozen=True, kw_only=True)
class Use:
    """Put a version of the model in use: go back to an older one, or forward again.

    A running sam-jax annotate takes it up by itself.

    Example: sam-jax engine use photos/annotations.sqlite 0
    """

    database: DatabasePlace
    """Database of sam-jax annotate: an SQLite file, or an address."""
    version: Annotated[Positional[int], arg(metavar="VERSION")]
    """Number of the version; 0 is what the loop began with. sam-jax engine status lists them."""

    def run(self) -> None:
        """Put the version in use.

        Raises:
            InputError: There is no such version, its training has not ended, or its weights are not there.
        """
        import contextlib

        from sam_jax.checkpoints import SHIPPED_FILES
        from sam_jax.data_engine.versions import (
            find_weights,
            open_existing,
            use_version,
        )
        from sam_jax.storage import exists
        from sam_jax.types import InputError

        with (
            contextlib.closing(open_existing(self.database)) as database,
            database.writing() as connection,
        ):
            version = use_version(connection, self.version)
            weights = find_weights(database, version)
            if str(weights) not in SHIPPED_FILES and not exists(weights):
                raise InputError(f"the weights of version {self.version} are gone: {weights}")
        print(f"version {version.number} is in use: {version.name}")


@dataclass(frozen=True, kw_only=True)
class Status:
    """Show how far the loop has come: photos, masks by stage, versions with their numbers, and the next step.

    Example: sam-jax engine status photos/annotations.sqlite
    """

    database: DatabasePlace
    """Database of sam-jax annotate: an SQLite file, or an address."""
    by_hand: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Number of photos that people are going to mask in the first two stages, over which the paper's rounds of
    retraining are spread; the default is all."""

    def run(self) -> None:
        """Print how far the loop has come.

        Raises:
            InputError: There is no such database.
        """
        import contextlib

        from sam_jax.data_engine.loop_state import read_loop_state
        from sam_jax.data_engine.schedule import ScheduleConfig
        from sam_jax.data_engine.versions import open_existing

        schedule = None if self.by_hand is None else ScheduleConfig(photos=self.by_hand)
        with contextlib.closing(open_existing(self.database)) as database:
            state = read_loop_state(database, schedule)
        print("\n".join(_describe_state(state, self.database)))


def _describe_state(state: "LoopState", database: str) -> list[str]:
    from sam_jax.messages import count

    lines = [
        f"{count(state.photos, 'photo')}: {state.learned} with masks of people, {state.finished} finished",
        *(
            f"{stage} masks: " + ", ".join(f"{number} {state_}" for state_, number in by.items())
            for stage, by in state.stages.items()
            if by
        ),
    ]
    lines += [_describe_version(version, drawn) for version, drawn in state.versions]
    if state.following is None:
        lines.append(
            "next: all rounds of the schedule are done; what is left is masked automatically"
        )
        return lines
    due, encoder = state.following.photos, state.following.encoder
    when = "now" if state.learned >= due else f"at {count(due, 'photo')} with masks"
    lines.append(
        f"next: round {state.following.number} of the paper's schedule, there with {encoder}, {when}: "
        f"sam-jax engine train {database}"
    )
    return lines


def _describe_version(version: "Version", drawn: "DrawnWith") -> str:
    from sam_jax.messages import count

    parts = [f"version {version.number}{' (in use)' if version.in_use else ''}:"]
    if version.made_at is None:
        parts.append("training has not ended")
    elif version.origin is None:
        parts.append(f"{version.name}, as it was given")
    if version.origin is not None and version.photos is not None:
        parts.append(
            f"from version {version.origin}, {count(version.masks or 0, 'mask')} of {count(version.photos, 'photo')}"
        )
    if version.numbers is not None:
        before, after = version.numbers["before"], version.numbers["after"]
        parts.append(f"| held back: mean IoU of one click {before[0]:.3f} -> {after[0]:.3f}")
    if drawn.masks:
        parts.append(
            f"| {count(drawn.masks, 'mask')} drawn with it, {drawn.seconds:.1f} s (median) and {drawn.clicks:.1f} "
            "clicks each"
        )
    return " ".join(parts)
