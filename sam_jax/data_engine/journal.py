"""Changes of masks: each saved as it is made, and undone and redone per photo.

A change keeps the mask as it was before; when it is undone, it keeps the mask as it was after, and so the two change
places with each step back and forth. Every change has a name from whoever makes it, so that one that is sent twice,
because the answer to the first got lost, happens once.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from sam_jax.data_engine.photos import ConflictError, read_photo_row, renew_lease
from sam_jax.data_engine.schema import MaskState, Stage, Verdict, changes, masks, models, photos
from sam_jax.types import InputError

KINDS = (
    *("click", "box", "choose", "stroke", "clear", "finish", "skip", "remove", "label", "reopen"),
    *("accept", "reject"),
)
"""What people do to a mask."""
_VERDICTS = {
    "accept": Verdict.ACCEPTED,
    **dict.fromkeys(("click", "box", "choose", "stroke"), Verdict.CORRECTED),
    **dict.fromkeys(("reject", "remove", "clear"), Verdict.REJECTED),
}
"""What a change says of a mask that no person has drawn; others leave it open."""
_ENDS = {"accept": MaskState.DONE, "reject": MaskState.REMOVED}

Row = Mapping[str, Any]


class History(NamedTuple):
    """What can be undone and redone in a photo.

    Attributes:
        undo: Number of the change that is undone next; None for none.
        redo: Number of the change that is redone next; None for none.
    """

    undo: int | None
    redo: int | None


class Outcome(NamedTuple):
    """What a change, or undoing or redoing one, has led to.

    Attributes:
        mask_id: Name of the mask.
        mask: The mask; None if it does not exist any more.
        history: What can be undone and redone from there.
    """

    mask_id: str
    mask: Row | None
    history: History


def read_masks(connection: Connection, photo_id: int) -> list[Row]:
    """All masks of a photo, removed and skipped ones included, in the order in which they were begun."""
    query = (
        select(masks).where(masks.c.photo_id == photo_id).order_by(masks.c.created_at, masks.c.id)
    )
    return [_to_dict(row) for row in connection.execute(query).mappings()]


def read_history(connection: Connection, photo_id: int) -> History:
    """What can be undone and redone in a photo."""
    rows = connection.execute(
        select(
            func.max(changes.c.number).filter(~changes.c.is_undone),
            func.min(changes.c.number).filter(changes.c.is_undone),
        ).where(changes.c.photo_id == photo_id)
    ).one()
    return History(*rows)


def make_change(
    connection: Connection,
    photo_id: int,
    lease: str,
    change_id: str,
    kind: str,
    mask: dict[str, Any],
) -> Outcome:
    """Change a mask, or begin one.

    Args:
        connection: Transaction that writes.
        photo_id: Number of the photo.
        lease: Lease of the photo.
        change_id: Name of the change: one that has been made already is not made again.
        kind: One of `KINDS`.
        mask: Columns of the mask as it is to be, from `read_mask`; `revision` is that of the mask as it was, 0 for a
            new one.

    Raises:
        ConflictError: The photo is not leased to whoever asks, or the mask has changed meanwhile, or it is to be
            accepted or rejected and does not wait for that.
        InputError: The change has no known kind, or only the detector could have made the mask, or no model has the
            number that the mask names.
    """
    if kind not in KINDS:
        raise InputError(f"kind is one of {', '.join(KINDS)}")
    renew_lease(connection, photo_id, lease)
    before = _read_mask(connection, mask["id"])
    is_known = connection.execute(
        select(changes.c.mask_id).where(changes.c.id == change_id)
    ).scalar_one_or_none()
    if is_known is not None:
        if is_known != mask["id"]:
            raise ConflictError("a change of this name was made to another mask")
        return Outcome(mask["id"], before, read_history(connection, photo_id))
    if before is not None and before["photo_id"] != photo_id:
        raise ConflictError("the mask is of another photo")
    if mask["revision"] != (0 if before is None else before["revision"]):
        raise ConflictError("the mask has changed meanwhile: load the photo again")
    waits = before is not None and before["state"] == MaskState.PREFILLED
    if kind in _ENDS and not waits:
        raise ConflictError(
            "the mask does not wait to be accepted or rejected: load the photo again"
        )
    if mask["state"] == MaskState.PREFILLED and not waits:
        raise InputError("a mask that a person draws is not prefilled")
    _check_model(connection, mask, before)
    person = read_photo_row(connection, photo_id)["leased_by"]
    now = time.time()
    after = {
        "photo_id": photo_id,
        "stage": int(Stage.ASSISTED_MANUAL),
        "model_id": None,
        "created_at": now,
        **({} if before is None else before),
        **mask,
        "revision": mask["revision"] + 1,
        "updated_at": now,
    }
    # Whoever is the first to change a mask that a model or another data set has made answers for it.
    after["person_id"] = person if before is None else before["person_id"] or person
    if before is not None and before["stage"] in (Stage.SEMI_AUTOMATIC, Stage.FULLY_AUTOMATIC):
        after["state"] = str(_ENDS.get(kind, mask["state"]))
        after["verdict"] = _judge(kind, before)
    _drop_undone(connection, photo_id)
    _write_mask(connection, after["id"], after, is_there=before is not None)
    number = _next_number(connection, photo_id)
    connection.execute(
        insert(changes).values(
            id=change_id,
            photo_id=photo_id,
            number=number,
            mask_id=mask["id"],
            person_id=person,
            kind=kind,
            at=now,
            is_undone=False,
            other=_pack(before),
        )
    )
    return Outcome(mask["id"], after, read_history(connection, photo_id))


def _check_model(connection: Connection, mask: Row, before: Row | None) -> None:
    model_id = mask.get("model_id")
    if model_id is None or (before is not None and before["model_id"] == model_id):
        return
    if connection.execute(select(models.c.id).where(models.c.id == model_id)).first() is None:
        raise InputError(f"no model has the number {model_id}")


def _judge(kind: str, before: Row) -> str | None:
    """What has become of a mask that no person has drawn; done without a change of its pixels, it is accepted."""
    is_done = kind == "finish" and before["state"] == MaskState.PREFILLED
    verdict = Verdict.ACCEPTED if is_done else _VERDICTS.get(kind)
    return before["verdict"] if verdict is None else str(verdict)


def undo_change(connection: Connection, photo_id: int, lease: str, number: int) -> Outcome:
    """Undo the last change of a photo that is not undone.

    Args:
        connection: Transaction that writes.
        photo_id: Number of the photo.
        lease: Lease of the photo.
        number: Number of the change: one that is undone already is not undone again.

    Raises:
        ConflictError: The photo is not leased to whoever asks, or another change is the last one.
    """
    return _step(connection, photo_id, lease, number, is_back=True)


def redo_change(connection: Connection, photo_id: int, lease: str, number: int) -> Outcome:
    """Make the first change of a photo again that is undone; arguments and errors are those of `undo_change`."""
    return _step(connection, photo_id, lease, number, is_back=False)


def _step(
    connection: Connection, photo_id: int, lease: str, number: int, *, is_back: bool
) -> Outcome:
    renew_lease(connection, photo_id, lease)
    history = read_history(connection, photo_id)
    change = (
        connection.execute(
            select(changes).where(changes.c.photo_id == photo_id, changes.c.number == number)
        )
        .mappings()
        .first()
    )
    if change is None:
        raise ConflictError("there is no such change any more: load the photo again")
    mask_id, current = change["mask_id"], _read_mask(connection, change["mask_id"])
    if change["is_undone"] == is_back:
        return Outcome(mask_id, current, history)
    if number != (history.undo if is_back else history.redo):
        raise ConflictError("another change comes first: load the photo again")
    other = json.loads(change["other"]) if change["other"] is not None else None
    if other is None:
        connection.execute(delete(masks).where(masks.c.id == mask_id))
    else:
        # A revision never comes back, so that nothing that was meant for an earlier one is taken for this.
        other["revision"] = max(other["revision"], 0 if current is None else current["revision"])
        other |= {"revision": other["revision"] + 1, "updated_at": time.time()}
        _write_mask(connection, mask_id, other, is_there=current is not None)
    connection.execute(
        update(changes)
        .where(changes.c.id == change["id"])
        .values(is_undone=is_back, other=_pack(current))
    )
    return Outcome(mask_id, other, read_history(connection, photo_id))


def _read_mask(connection: Connection, mask_id: str) -> Row | None:
    row = connection.execute(select(masks).where(masks.c.id == mask_id)).mappings().first()
    return None if row is None else _to_dict(row)


def _to_dict(row: Mapping[Any, Any]) -> Row:
    return {str(key): value for key, value in row.items()}


def _write_mask(connection: Connection, mask_id: str, row: Row, *, is_there: bool) -> None:
    if is_there:
        connection.execute(update(masks).where(masks.c.id == mask_id).values(**row))
    else:
        connection.execute(insert(masks).values(**row))


def _drop_undone(connection: Connection, photo_id: int) -> None:
    """A change after an undone one takes the place of all that was undone."""
    is_undone = (changes.c.photo_id == photo_id) & changes.c.is_undone
    connection.execute(delete(changes).where(is_undone))


def _next_number(connection: Connection, photo_id: int) -> int:
    connection.execute(
        update(photos).where(photos.c.id == photo_id).values(last_change=photos.c.last_change + 1)
    )
    query = select(photos.c.last_change).where(photos.c.id == photo_id)
    return connection.execute(query).scalar_one()


def _pack(row: Row | None) -> str | None:
    return None if row is None else json.dumps(dict(row))
