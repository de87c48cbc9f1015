"""Retraining: a new version of the model, fine-tuned on what has come in, measured on photos that are held back."""

import contextlib
import dataclasses
import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import update

from sam_jax.data.sources import open_source
from sam_jax.data.subset import hold_out
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.schema import versions
from sam_jax.data_engine.snapshots import Counted, require_masks, take_snapshot
from sam_jax.data_engine.versions import (
    Version,
    add_given_weights,
    add_version,
    choose_weights,
    find_version_in_use,
    find_versions_folder,
    find_weights,
    list_versions,
    name_weights,
    use_version,
)
from sam_jax.data_engine.workplace import register_model
from sam_jax.evaluation.held_back import Gain, measure_gain
from sam_jax.inference import load
from sam_jax.inference.settings import describe_model
from sam_jax.storage import make_folder, mark_as_output
from sam_jax.training.config import TrainConfig
from sam_jax.training.finetuning import FinetuningConfig, make_finetuning_run
from sam_jax.training.loop import WEIGHTS
from sam_jax.types import InputError

HELD_BACK = 5
"""Interval of held-back photos where none is given."""
SNAPSHOT = "masks.sqlite"
"""Name of the copy of the masks that a version learns, in its folder."""
PICTURE = "gain.png"
"""Name of the picture of masks before and after."""
EMBEDDINGS = "embeddings"
"""Name of the folder of image embeddings, which versions share that have one image encoder."""
_PHOTOS_MEASURED = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrainingConfig:
    """How a version of the model is made.

    Attributes:
        finetuning: How the weights are fine-tuned.
        with_automatic: Whether fully automatic masks are learned that nobody has looked at.
    """

    finetuning: FinetuningConfig = dataclasses.field(
        default_factory=lambda: FinetuningConfig(hold_back=HELD_BACK)
    )
    with_automatic: bool = False


class Retraining(NamedTuple):
    """A version on its way.

    Attributes:
        number: Number of the version.
        origin: Number of the version that training begins with.
        folder: Folder of the version.
        embeddings: Folder of image embeddings.
        learned: What is learned, held-back photos included.
        run: The training run.
    """

    number: int
    origin: int
    folder: Path
    embeddings: Path
    learned: Counted
    run: TrainConfig


@contextlib.contextmanager
def retraining(
    database: Database,
    config: RetrainingConfig,
    *,
    checkpoint: Path | None = None,
    anew: bool = False,
) -> Iterator[Retraining]:
    """Begin a version, or take up the one whose training has not ended; within the block nobody else trains.

    Args:
        database: Database of the masks.
        config: How the version is made.
        checkpoint: Weights to begin with; None for those of the version in use, or for the shipped ones where none is.
        anew: Whether a version whose training has not ended is left behind.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: There are no masks, or somebody else trains, or the version was begun with other settings.
        DatabaseError: The database cannot be reached.
        RunError: The disk is full.
    """
    root = find_versions_folder(database)
    make_folder(root)
    mark_as_output(root)
    with _training_alone(root):
        described = _describe(config, checkpoint)
        version = None if anew else _find_unfinished(database)
        if version is None:
            require_masks(database, with_automatic=config.with_automatic)
            version = _begin(database, described, checkpoint)
        elif version.settings != described:
            raise InputError(
                f"version {version.number} was begun with other options: "
                f"{_list_differences(version.settings or {}, described)}. Go back to those, or leave it behind (--anew)"
            )
        folder = root / str(version.number)
        make_folder(folder)
        learned = _find_learned(database, version, folder / SNAPSHOT, config.with_automatic)
        assert version.origin is not None
        with database.reading() as connection:
            known = {one.number: one for one in list_versions(connection)}
        start = find_weights(database, known[version.origin])
        run = make_finetuning_run(str(folder / SNAPSHOT), str(start), config.finetuning)
        yield Retraining(version.number, version.origin, folder, root / EMBEDDINGS, learned, run)


def finish_retraining(
    database: Database, begun: Retraining, *, is_used: bool | None = None
) -> tuple[Version, Gain | None]:
    """Measure what training has led to, and store the version.

    Args:
        database: Database of the masks.
        begun: The version, whose training has ended.
        is_used: Whether the version is put in use; None for whether one click gives masks that are at least as good as
            before, or nothing was held back.

    Returns:
        The version, and what the held-back photos say; None where they have no objects.

    Raises:
        CheckpointError: The weights cannot be read.
        DatabaseError: The database cannot be reached.
    """
    assert begun.run.start_from is not None
    size = begun.run.model.image_encoder.image_size
    after = load(begun.folder / WEIGHTS)
    gain = None
    (source,) = begun.run.data.sources
    if every := getattr(source, "hold_back", 0):
        gain = measure_gain(
            load(begun.run.start_from, image_size=size),
            after,
            hold_out(open_source(begun.folder / SNAPSHOT), every)[1],
            begun.folder / PICTURE,
            most=_PHOTOS_MEASURED,
        )
    if is_used is None:
        is_used = gain is None or gain.after[0] >= gain.before[0]
    with database.writing() as connection:
        name, digest = f"version {begun.number}", str(describe_model(after)["weights"])
        connection.execute(
            update(versions)
            .where(versions.c.number == begun.number)
            .values(
                model_id=register_model(connection, name, digest),
                made_at=time.time(),
                numbers=None if gain is None else json.dumps(gain._asdict()),
            )
        )
        if is_used:
            use_version(connection, begun.number)
        made = {version.number: version for version in list_versions(connection)}[begun.number]
    return made, gain


def _begin(database: Database, described: dict[str, Any], checkpoint: Path | None) -> Version:
    """Claim the number of a new version."""
    with database.reading() as connection:
        known = {version.weights: version for version in list_versions(connection)}
        current = find_version_in_use(connection)
    origin = current if checkpoint is None else known.get(name_weights(checkpoint))
    if origin is None:
        given = choose_weights(database, checkpoint)
        model = load(given)
        with database.writing() as connection:
            origin = add_given_weights(connection, given, model)
            if current is None:
                use_version(connection, origin.number)
    root = find_versions_folder(database)
    with database.writing() as connection:
        number = add_version(connection, "", origin=origin.number, settings=json.dumps(described))
        weights = f"{root.name}/{number}/{WEIGHTS}"
        is_new = versions.c.number == number
        connection.execute(update(versions).where(is_new).values(weights=weights))
        return {version.number: version for version in list_versions(connection)}[number]


def _find_unfinished(database: Database) -> Version | None:
    """The newest trained version, if its training has not ended."""
    with database.reading() as connection:
        trained = [one for one in list_versions(connection) if one.origin is not None]
    return trained[-1] if trained and trained[-1].made_at is None else None


def _find_learned(
    database: Database, version: Version, path: Path, with_automatic: bool
) -> Counted:
    """What the version learns: what is there now, or was when its training began."""
    if path.is_file() and version.photos is not None and version.masks is not None:
        return Counted(version.photos, version.masks)
    learned = take_snapshot(database, path, with_automatic=with_automatic)
    with database.writing() as connection:
        is_this = versions.c.number == version.number
        connection.execute(update(versions).where(is_this).values(learned._asdict()))
    return learned


def _describe(config: RetrainingConfig, checkpoint: Path | None) -> dict[str, Any]:
    """All that a version depends on and that a command says."""
    given = None if checkpoint is None else name_weights(checkpoint)
    flat = {**dataclasses.asdict(config.finetuning), "with_automatic": config.with_automatic}
    return json.loads(json.dumps(flat | {"checkpoint": given}))


def _list_differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} was {before.get(name)} and is now {now.get(name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


@contextlib.contextmanager
def _training_alone(root: Path) -> Iterator[None]:
    """Hold the lock of the folder of versions, which a process that is killed gives back.

    Raises:
        InputError: Another process trains.
    """
    with (root / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another process trains a version in {root}: wait for it") from error
        yield
