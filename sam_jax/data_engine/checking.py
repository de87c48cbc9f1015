"""How good automatic masks are: a sample of photos whose masks people correct, and the IoU of both.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 5, "Mask quality": of the pairs of masks in 500
photos, 94 % have an IoU above 0.90, and 97 % above 0.75.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, insert, select, update

from sam_jax.data_engine.photos import is_checked
from sam_jax.data_engine.schema import MaskState, Stage, changes, checks, masks, photos
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.ops.rle import Rle

PAPER_SHARES = {0.90: 0.94, 0.75: 0.97}
"""Shares of pairs whose IoU lies above each of these, in the paper."""


class Sample(NamedTuple):
    """What is to be checked from now on.

    Attributes:
        photos: Number of photos that were drawn now.
        masks: Number of their automatic masks.
    """

    photos: int
    masks: int


class Check(NamedTuple):
    """What people have made of the automatic masks of the sample.

    Attributes:
        photos: Number of photos of the sample.
        finished: Number of those that people have finished; the rest counts these alone.
        ious: IoU of each automatic mask with what a person has made of it; 1 where it was accepted as it is.
        rejected: Number of automatic masks that were rejected.
        unseen: Number of automatic masks on which nobody has decided.
        added: Number of masks that people have drawn beside them.
    """

    photos: int
    finished: int
    ious: list[float]
    rejected: int
    unseen: int
    added: int

    def share_above(self, iou: float) -> float:
        """Share of the pairs whose IoU lies above a bound."""
        return sum(value > iou for value in self.ious) / max(1, len(self.ious))


def draw_sample(connection: Connection, count: int, seed: int) -> Sample:
    """Offer photos to people so that they correct the automatic masks: as unfinished, with masks that wait.

    Photos are drawn by a hash of their path: the same seed gives the same photos, and a larger number those of a
    smaller one and others. Those that have been drawn before count, too.

    Args:
        connection: Transaction that writes.
        count: Number of photos of the whole sample.
        seed: Seed of the draw.
    """
    drawn = connection.execute(select(func.count()).select_from(checks)).scalar_one()
    now = time.time()
    is_automatic = masks.c.stage == Stage.FULLY_AUTOMATIC
    is_offered = and_(
        *(photos.c.finished_at.is_not(None), photos.c.finished_by.is_(None)),
        *(photos.c.problem.is_(None), photos.c.leased_until < now),
        *(exists().where(masks.c.photo_id == photos.c.id, is_automatic), ~is_checked()),
    )
    rows = connection.execute(select(photos.c.id, photos.c.path).where(is_offered)).all()
    in_order = sorted(rows, key=lambda row: _hash(seed, row.path))
    taken = mask_count = 0
    for row in in_order[: max(0, count - drawn)]:
        reopened = connection.execute(
            update(photos).where(photos.c.id == row.id, is_offered).values(finished_at=None)
        )
        if not reopened.rowcount:
            continue
        connection.execute(insert(checks).values(photo_id=row.id, since=now))
        waits = connection.execute(
            update(masks)
            .where(masks.c.photo_id == row.id, is_automatic, masks.c.state == MaskState.DONE)
            .where(masks.c.person_id.is_(None))
            .values(state=str(MaskState.PREFILLED), revision=masks.c.revision + 1)
        )
        taken += 1
        mask_count += waits.rowcount
    return Sample(taken, mask_count)


def measure_sample(connection: Connection) -> Check:
    """Compare the automatic masks of the sample with what people have made of them.

    Args:
        connection: Transaction.
    """
    total = connection.execute(select(func.count()).select_from(checks)).scalar_one()
    done = connection.execute(
        select(photos.c.id, photos.c.height, photos.c.width).where(
            is_checked(), photos.c.finished_by.is_not(None)
        )
    ).all()
    ious: list[float] = []
    rejected = unseen = added = 0
    for photo in done:
        originals = _read_originals(connection, photo.id)
        rows = connection.execute(
            select(masks.c.id, masks.c.stage, masks.c.state, masks.c.counts).where(
                masks.c.photo_id == photo.id
            )
        )
        for row in rows:
            if row.stage != Stage.FULLY_AUTOMATIC:
                added += row.state == MaskState.DONE
            elif row.state == MaskState.REMOVED:
                rejected += 1
            elif row.state != MaskState.DONE:
                unseen += 1
            else:
                original = originals.get(row.id) or row.counts
                ious.append(_iou([original, row.counts], (photo.height, photo.width)))
    return Check(total, len(done), ious, rejected, unseen, added)


def _hash(seed: int, path: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{path}".encode()).digest()


def _read_originals(connection: Connection, photo_id: int) -> dict[str, str]:
    """The pixels of masks as they were before the first change that was made and not undone, by the masks' names."""
    rows = connection.execute(
        select(changes.c.mask_id, changes.c.other)
        .where(changes.c.photo_id == photo_id, ~changes.c.is_undone)
        .order_by(changes.c.number.desc())
    )
    return {row.mask_id: json.loads(row.other)["counts"] for row in rows if row.other is not None}


def _iou(counts: Sequence[str], size: tuple[int, int]) -> float:
    one, other = (Rle(size=list(size), counts=part) for part in counts)
    return float(rle_ious([one], [other])[0, 0])
