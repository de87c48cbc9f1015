"""Copies of the masks that are there at a time, so that a run learns the same ones to its end while others come in."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func, insert, or_, select

from sam_jax.data.annotation_database import AUTOMATIC
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.schema import MaskState, Stage, masks, photos, settings
from sam_jax.data_engine.versions import find_photo_folder
from sam_jax.data_engine.workplace import PHOTO_FOLDER
from sam_jax.storage import resumable_file
from sam_jax.types import InputError

_ROWS_AT_ONCE = 1000


class Counted(NamedTuple):
    """What a database has to learn from.

    Attributes:
        photos: Number of photos.
        masks: Number of their masks.
    """

    photos: int
    masks: int


def is_learned(*, with_automatic: bool) -> ColumnElement[bool]:
    """Whether a mask is learned from, as a condition of a query over masks and their photos.

    Args:
        with_automatic: Whether fully automatic masks count that nobody has looked at.
    """
    is_done = and_(masks.c.state == MaskState.DONE, photos.c.problem.is_(None))
    if with_automatic:
        return is_done
    is_seen = or_(masks.c.stage != Stage.FULLY_AUTOMATIC, masks.c.person_id.is_not(None))
    return and_(is_done, is_seen)


def count_learned(database: Database, *, with_automatic: bool) -> Counted:
    """Number of photos and masks that a run would learn from, held-back ones included."""
    query = (
        select(func.count(masks.c.photo_id.distinct()), func.count())
        .select_from(masks)
        .join(photos, photos.c.id == masks.c.photo_id)
        .where(is_learned(with_automatic=with_automatic))
    )
    with database.reading() as connection:
        return Counted(*connection.execute(query).one())


def require_masks(database: Database, *, with_automatic: bool) -> None:
    """Refuse a database that has nothing to learn from.

    Raises:
        InputError: It has nothing.
        DatabaseError: The database cannot be read.
    """
    if not count_learned(database, with_automatic=with_automatic).masks:
        raise InputError(f"{database.name} has no masks yet: draw some with sam-jax annotate")


def take_snapshot(database: Database, path: Path, *, with_automatic: bool) -> Counted:
    """Copy the masks to learn from, with the numbers of their photos, into an SQLite database of their own.

    Names of people are left out. The photos stay where they are.

    Args:
        database: Database of the masks.
        path: File that is made; it appears when it is whole.
        with_automatic: Whether fully automatic masks count that nobody has looked at.

    Raises:
        InputError: There are no masks to learn from, or the file cannot be made.
        DatabaseError: The database cannot be read.
        RunError: The disk is full.
    """
    require_masks(database, with_automatic=with_automatic)
    for left_over in path.parent.glob(f".{path.name}.unfinished*"):
        left_over.unlink()
    with resumable_file(path) as unfinished:
        with contextlib.closing(Database(unfinished)) as copy:
            counted = _copy(database, copy, with_automatic=with_automatic)
        # One file, which can be read where nothing can be written.
        with contextlib.closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    return counted


def _copy(database: Database, copy: Database, *, with_automatic: bool) -> Counted:
    folder = str(find_photo_folder(database).absolute())
    wanted = is_learned(with_automatic=with_automatic)
    with database.reading() as reader, copy.writing() as writer:
        has_wanted = select(masks.c.id).where(masks.c.photo_id == photos.c.id, wanted).exists()
        about = (photos.c.id, photos.c.path, photos.c.height, photos.c.width)
        found = reader.execute(select(*about).where(has_wanted)).mappings()
        known: set[int] = set()
        for some in found.partitions(_ROWS_AT_ONCE):
            known |= {row["id"] for row in some}
            fresh = {"last_change": 0, "leased_until": 0.0}
            writer.execute(insert(photos), [{**row} | fresh for row in some])
        query = select(masks).join(photos, photos.c.id == masks.c.photo_id).where(wanted)
        nobody = {"person_id": None, "model_id": None}
        for some in reader.execute(query).mappings().partitions(_ROWS_AT_ONCE):
            # Between the two queries a further photo may have got its first mask.
            rows = [{**row} | nobody for row in some if row["photo_id"] in known]
            writer.execute(insert(masks), rows)
        writer.execute(insert(settings).values(name=PHOTO_FOLDER, value=folder))
        # All that is in the copy counts.
        writer.execute(insert(settings).values(name=AUTOMATIC, value=""))
        return Counted(
            *(
                writer.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (photos, masks)
            )
        )
