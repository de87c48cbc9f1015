"""Versions of the model that helps people: the weights that the loop began with, and those trained on what came in.

The trained ones lie in a folder beside the database, each in its own; none is overwritten, and one is in use.
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from sam_jax import checkpoints
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.schema import models, settings, versions
from sam_jax.data_engine.workplace import PHOTO_FOLDER, register_model
from sam_jax.inference import load
from sam_jax.inference.settings import describe_model
from sam_jax.models import Model
from sam_jax.types import InputError

SHIPPED = Path(checkpoints.SHIPPED)
"""What the weights are called that come with the package."""
FOLDER_ENDING = ".versions"
_SERVER_FOLDER = "annotations" + FOLDER_ENDING


class Version(NamedTuple):
    """A version of the model.

    Attributes:
        number: Number of the version, from 0 on.
        name: What people call the model; None before it is trained.
        model: Number of the model in the database; None before it is trained.
        digest: Digest of the weights; None before they are trained.
        weights: Weights, as a path or a path below the folder of the database; `default` for the shipped ones.
        origin: Number of the version that training began with; None for weights that were given.
        begun_at: Time when training began, in seconds since 1970.
        made_at: Time when the version was complete; None before that.
        photos: Number of photos that were trained on and held back.
        masks: Number of their masks.
        settings: How the version was trained.
        numbers: What the held-back photos say: `photos`, `objects`, and the mean IoU `before` and `after` training with
            1, 2 and 3 clicks; None where nothing was held back.
        in_use: Whether this version helps people now.
    """

    number: int
    name: str | None
    model: int | None
    digest: str | None
    weights: str
    origin: int | None
    begun_at: float
    made_at: float | None
    photos: int | None
    masks: int | None
    settings: dict[str, Any] | None
    numbers: dict[str, Any] | None
    in_use: bool


def list_versions(connection: Connection) -> list[Version]:
    """All versions by number, with one whose training has not ended."""
    query = (
        select(versions, models.c.name, models.c.digest)
        .select_from(versions)
        .outerjoin(models, models.c.id == versions.c.model_id)
        .order_by(versions.c.number)
    )
    return [
        Version(
            row["number"],
            row["name"],
            row["model_id"],
            row["digest"],
            row["weights"],
            row["origin"],
            row["begun_at"],
            row["made_at"],
            row["photos"],
            row["masks"],
            json.loads(row["settings"] or "null"),
            json.loads(row["numbers"] or "null"),
            row["in_use"],
        )
        for row in connection.execute(query).mappings()
    ]


def find_version_in_use(connection: Connection) -> Version | None:
    """The version that helps people now; None where there is none yet."""
    return next((version for version in list_versions(connection) if version.in_use), None)


def add_version(connection: Connection, weights: str, **columns: Any) -> int:
    """Add a version, and return its number.

    Args:
        connection: Transaction that writes.
        weights: Weights, as `Version.weights`.
        columns: Further columns of the table of versions.
    """
    newest = connection.execute(select(func.max(versions.c.number))).scalar_one()
    number = 0 if newest is None else newest + 1
    fresh = {"number": number, "weights": weights, "begun_at": time.time(), "in_use": False}
    connection.execute(insert(versions).values(fresh | columns))
    return number


def use_version(connection: Connection, number: int) -> Version:
    """Put a version in use in place of the one that is.

    Args:
        connection: Transaction that writes.
        number: Number of the version.

    Raises:
        InputError: There is no such version, or its training has not ended.
    """
    known = {version.number: version for version in list_versions(connection)}
    if number not in known:
        there = ", ".join(map(str, known)) or "none yet"
        raise InputError(f"there is no version {number}; versions: {there}")
    if known[number].made_at is None:
        raise InputError(f"the training of version {number} has not ended")
    connection.execute(update(versions).values(in_use=versions.c.number == number))
    return known[number]._replace(in_use=True)


def add_given_weights(connection: Connection, weights: Path, model: Model) -> Version:
    """The version of weights that were not trained here, which the database gets to know where they are new.

    Args:
        connection: Transaction that writes.
        weights: Path of the weights.
        model: Model with those weights.
    """
    model_id = register_model(connection, weights.name, str(describe_model(model)["weights"]))
    known = [version for version in list_versions(connection) if version.model == model_id]
    if not known:
        number = add_version(
            connection, name_weights(weights), model_id=model_id, made_at=time.time()
        )
        known = [version for version in list_versions(connection) if version.number == number]
    return known[0]


def open_version_in_use(database: Database, checkpoint: Path | None) -> tuple[Version, Model]:
    """Load the version that is in use.

    Args:
        database: Database of the versions.
        checkpoint: Weights that are put in use if the database does not know them yet; None for those in use, or for
            the shipped ones where none are.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: The weights of a version are not those that they were.
        DatabaseError: The database cannot be reached.
    """
    with database.reading() as connection:
        known = list_versions(connection)
        current = find_version_in_use(connection)
    is_known = checkpoint is None or name_weights(checkpoint) in {one.weights for one in known}
    if current is not None and is_known:
        return load_version(database, current)
    given = checkpoint or SHIPPED
    model = load(given)
    with database.writing() as connection:
        return use_version(connection, add_given_weights(connection, given, model).number), model


def load_version(database: Database, version: Version) -> tuple[Version, Model]:
    """Load a version's weights; where given weights have changed meanwhile, they are another version, which is used.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: The weights of a trained version are not those that they were.
        DatabaseError: The database cannot be reached.
    """
    weights = find_weights(database, version)
    model = load(weights)
    if str(describe_model(model)["weights"]) == version.digest:
        return version, model
    if version.origin is not None:
        raise InputError(
            f"{weights} is not what was trained as version {version.number}: put it back, or use another version"
        )
    with database.writing() as connection:
        changed = add_given_weights(connection, weights, model)
        return (use_version(connection, changed.number) if version.in_use else changed), model


def choose_weights(database: Database, checkpoint: Path | None) -> Path:
    """The weights that were named, or else those of the version in use, or else the shipped ones."""
    if checkpoint is not None:
        return checkpoint
    with database.reading() as connection:
        version = find_version_in_use(connection)
    return SHIPPED if version is None else find_weights(database, version)


def open_existing(place: str) -> Database:
    """Open a database that exists.

    Args:
        place: Path of an SQLite file, or address.

    Raises:
        InputError: There is none, or it cannot be opened.
    """
    if "://" not in place and not Path(place).is_file():
        raise InputError(f"no such file: {place}; sam-jax annotate makes the database of a folder")
    return Database(place)


def name_weights(path: Path) -> str:
    """A path of weights that were given, as the database keeps it."""
    return str(path) if str(path) in checkpoints.SHIPPED_FILES else str(path.absolute())


def find_weights(database: Database, version: Version) -> Path:
    """The path of a version's weights."""
    if version.origin is None:
        return Path(version.weights)
    return find_versions_folder(database).parent / version.weights


def find_versions_folder(database: Database) -> Path:
    """The folder of trained versions: beside the file of a database, or in the folder of the photos.

    Raises:
        InputError: The database does not say where its photos are, or they are not there.
    """
    if database.path is not None:
        return database.path.with_suffix(FOLDER_ENDING)
    return find_photo_folder(database) / _SERVER_FOLDER


def find_photo_folder(database: Database) -> Path:
    """The folder of the photos, also where it has moved with its database.

    Raises:
        InputError: The database does not say where its photos are, or they are not there.
    """
    query = select(settings.c.value).where(settings.c.name == PHOTO_FOLDER)
    with database.reading() as connection:
        found = connection.execute(query).scalar_one_or_none()
    if found is not None and Path(found).is_dir():
        return Path(found)
    if database.path is not None:
        return database.path.parent
    raise InputError(f"{database.name}: the folder of its photos, {found}, is not on this machine")
