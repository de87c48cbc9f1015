"""Photos in the database: which there are, who works on which, and which are finished.

A photo is leased to one person at a time. The lease is a secret name that whoever changes something has to show; it
expires unless it is renewed, and every change renews it.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, update

from sam_jax.data_engine.database import insert_missing
from sam_jax.data_engine.schema import MaskState, checks, masks, people, photos
from sam_jax.types import InputError

LEASE_SECONDS = 120.0
LONGEST_NAME = 80


class ConflictError(InputError):
    """Somebody else was faster: the photo is theirs, or what was to be changed has changed."""


class MissingError(InputError):
    """There is no such photo, or it has gone."""


def add_photos(connection: Connection, paths: Sequence[str]) -> None:
    """Add photos that the database does not know yet.

    Args:
        connection: Transaction that writes.
        paths: Paths of photos relative to their folder, in the order in which they are to be shown.
    """
    fresh = {"last_change": 0, "leased_until": 0.0}
    insert_missing(connection, photos, [{"path": path} | fresh for path in paths])


def is_free() -> ColumnElement[bool]:
    """Whether a photo is neither finished nor leased now, and can be read, as a condition of a query."""
    return and_(
        photos.c.finished_at.is_(None),
        photos.c.problem.is_(None),
        or_(photos.c.lease.is_(None), photos.c.leased_until < time.time()),
    )


def is_checked() -> ColumnElement[bool]:
    """Whether a photo is one whose automatic masks people correct, as a condition of a query."""
    return photos.c.id.in_(select(checks.c.photo_id))


def find_person(connection: Connection, name: str) -> int:
    """The id of a person, who is added where the name is new."""
    insert_missing(connection, people, [{"name": name, "since": time.time()}])
    return connection.execute(select(people.c.id).where(people.c.name == name)).scalar_one()


def read_names(connection: Connection) -> dict[int, str]:
    """Names of all people, by id."""
    return {row.id: row.name for row in connection.execute(select(people.c.id, people.c.name))}


def read_photo_row(connection: Connection, photo_id: int) -> Mapping[str, Any]:
    """A row of the table of photos.

    Raises:
        MissingError: There is no photo of this number.
    """
    row = connection.execute(select(photos).where(photos.c.id == photo_id)).mappings().first()
    if row is None:
        raise MissingError(f"no photo has the number {photo_id}")
    return {str(key): value for key, value in row.items()}


def lease_photo(connection: Connection, photo_id: int, person: str, lease: str | None) -> str:
    """Lease a photo to a person, and return the lease.

    The person's own lease, of another tab perhaps, makes way.

    Args:
        connection: Transaction that writes.
        photo_id: Number of the photo.
        person: Name of the person.
        lease: Lease of the photo that the person has already; None for none.

    Raises:
        ConflictError: Somebody else is at work on the photo.
        MissingError: There is no photo of this number.
    """
    row = read_photo_row(connection, photo_id)
    person_id, now = find_person(connection, person), time.time()
    granted = lease if lease is not None and row["lease"] == lease else secrets.token_hex(16)
    is_free = or_(photos.c.leased_until < now, photos.c.leased_by == person_id)
    taken = connection.execute(
        update(photos)
        .where(photos.c.id == photo_id, or_(is_free, photos.c.lease == granted))
        .values(lease=granted, leased_by=person_id, leased_until=now + LEASE_SECONDS)
    )
    if not taken.rowcount:
        holder = read_names(connection).get(row["leased_by"], "somebody")
        raise ConflictError(f"{holder} is at work on {row['path']}")
    return granted


def lease_next(connection: Connection, person: str, after: int | None) -> tuple[int, str] | None:
    """Lease the next photo that is neither finished nor somebody else's.

    Args:
        connection: Transaction that writes.
        person: Name of the person.
        after: Number of the photo that comes before it; None to begin with what the person had last, or else the
            first. After the last comes the first.

    Returns:
        Number of the photo, and the lease; None if nothing is left to do.
    """
    person_id, now = find_person(connection, person), time.time()
    is_open = and_(
        photos.c.finished_at.is_(None),
        photos.c.problem.is_(None),
        or_(photos.c.leased_until < now, photos.c.leased_by == person_id),
    )
    own = photos.c.leased_by == person_id
    parts = [own, true()] if after is None else [photos.c.id > after, photos.c.id < after]
    for part in parts:
        query = select(photos.c.id).where(is_open, part).order_by(photos.c.id).limit(1)
        if connection.dialect.name == "postgresql":  # where several write at once
            query = query.with_for_update(skip_locked=True)
        for photo_id in connection.execute(query).scalars().all():
            granted = secrets.token_hex(16)
            taken = connection.execute(
                update(photos)
                .where(photos.c.id == photo_id, is_open)
                .values(lease=granted, leased_by=person_id, leased_until=now + LEASE_SECONDS)
            )
            if taken.rowcount:
                return photo_id, granted
    return None


def renew_lease(connection: Connection, photo_id: int, lease: str) -> None:
    """Hold a lease for longer; in a transaction that writes, this also keeps others from the photo's row.

    Raises:
        ConflictError: The lease has expired and somebody else has the photo.
        MissingError: There is no photo of this number.
    """
    held = connection.execute(
        update(photos)
        .where(photos.c.id == photo_id, photos.c.lease == lease)
        .values(leased_until=time.time() + LEASE_SECONDS)
    )
    if not held.rowcount:
        row = read_photo_row(connection, photo_id)
        holder = read_names(connection).get(row["leased_by"])
        now_with = f"; {holder} has it now" if holder and row["lease"] else ""
        raise ConflictError(f"{row['path']} is not yours any more{now_with}")


def release_lease(connection: Connection, photo_id: int, lease: str) -> None:
    """Give a photo back; what others hold stays theirs."""
    connection.execute(
        update(photos)
        .where(photos.c.id == photo_id, photos.c.lease == lease)
        .values(lease=None, leased_by=None, leased_until=0.0)
    )


def finish_photo(connection: Connection, photo_id: int, lease: str, *, is_finished: bool) -> None:
    """Note that there is nothing more to see in a photo, or take it back.

    Raises:
        ConflictError: The photo is not leased to whoever asks.
        MissingError: There is no photo of this number.
    """
    renew_lease(connection, photo_id, lease)
    person = read_photo_row(connection, photo_id)["leased_by"]
    values = (
        {"finished_at": time.time(), "finished_by": person}
        if is_finished
        else {"finished_at": None, "finished_by": None}
    )
    connection.execute(update(photos).where(photos.c.id == photo_id).values(values))


def list_photo_rows(connection: Connection, after: int, most: int) -> list[dict[str, Any]]:
    """Photos as the browser lists them, by number.

    Args:
        connection: Transaction.
        after: Number before the first that is listed.
        most: Largest number of photos.
    """
    numbers = (
        select(masks.c.photo_id, func.count().label("masks"))
        .where(masks.c.state == MaskState.DONE)
        .group_by(masks.c.photo_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            *(photos.c.id, photos.c.path, photos.c.problem, photos.c.finished_at),
            *(photos.c.leased_until, people.c.name, numbers.c.masks),
        )
        .select_from(photos)
        .outerjoin(numbers, numbers.c.photo_id == photos.c.id)
        .outerjoin(people, people.c.id == photos.c.leased_by)
        .where(photos.c.id > after)
        .order_by(photos.c.id)
        .limit(most)
    )
    now = time.time()
    return [
        {
            "id": row.id,
            "path": row.path,
            "masks": row.masks or 0,
            "is_finished": row.finished_at is not None,
            "problem": row.problem,
            "holder": row.name if row.leased_until > now else None,
        }
        for row in rows
    ]
