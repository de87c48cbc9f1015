"""How the work goes: masks, seconds and clicks a mask, by person, model, and stage."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, or_, select

from sam_jax.data_engine.schema import (
    MaskState,
    Stage,
    Verdict,
    masks,
    models,
    people,
    photos,
)

STAGES = {
    Stage.IMPORTED: "imported",
    Stage.ASSISTED_MANUAL: "assisted-manual",
    Stage.SEMI_AUTOMATIC: "semi-automatic",
    Stage.FULLY_AUTOMATIC: "fully automatic",
}
CURVE_POINTS = 40
"""Points of the curve of seconds a mask, at most."""
_SMALLEST_GROUP = 10


def summarise(connection: Connection) -> dict[str, Any]:
    """The numbers of the page of statistics, as JSON can hold them.

    Masks of people (stages 1 and 2) make up the seconds and clicks; imported and fully automatic ones took none.
    """
    rows = connection.execute(
        select(
            *(masks.c.state, masks.c.stage, masks.c.verdict, masks.c.seconds, masks.c.clicks),
            *(masks.c.strokes, masks.c.photo_id, masks.c.model_id, people.c.name.label("person")),
        )
        .select_from(masks)
        .outerjoin(people, people.c.id == masks.c.person_id)
        .where(masks.c.state.in_([MaskState.DONE, MaskState.SKIPPED]))
        .order_by(masks.c.created_at)
    ).all()
    total, finished, damaged = connection.execute(
        select(
            func.count(), func.count(photos.c.finished_at), func.count(photos.c.problem)
        ).select_from(photos)
    ).one()
    done = [row for row in rows if row.state == MaskState.DONE]
    by_hand = [row for row in rows if row.stage in (Stage.ASSISTED_MANUAL, Stage.SEMI_AUTOMATIC)]
    drawn = [row for row in by_hand if row.state == MaskState.DONE]
    names = {
        row.id: row.name
        for row in connection.execute(select(models.c.id, models.c.name).order_by(models.c.id))
    }
    masked_photos = len({row.photo_id for row in done})
    prefilled = connection.execute(
        select(masks.c.verdict, func.count())
        .where(
            masks.c.stage == Stage.SEMI_AUTOMATIC,
            or_(masks.c.verdict.is_not(None), masks.c.state == MaskState.PREFILLED),
        )
        .group_by(masks.c.verdict)
    ).all()
    by_verdict: dict[str | None, int] = {row[0]: row[1] for row in prefilled}
    return {
        "photos": {
            "total": total,
            "finished": finished,
            "problems": damaged,
            "with_masks": masked_photos,
        },
        "masks": len(done),
        "masks_per_photo": len(done) / masked_photos if masked_photos else None,
        "all": _summarise_group(by_hand),
        "by_person": _summarise_groups(by_hand, (row.person or "unknown" for row in by_hand)),
        "by_model": _summarise_groups(
            by_hand,
            (
                f"{row.model_id}: {names[row.model_id]}" if row.model_id else "none"
                for row in by_hand
            ),
        ),
        "by_stage": [
            {
                "name": name,
                "masks": (count := sum(row.stage == stage for row in done)),
                "share": count / len(done) if done else 0.0,
            }
            for stage, name in STAGES.items()
        ],
        "prefilled": {
            **{str(verdict): by_verdict.get(verdict, 0) for verdict in Verdict},
            "waiting": by_verdict.get(None, 0),
        },
        "curve": _draw_curve([row.seconds for row in drawn]),
    }


def _summarise_groups(rows: Sequence[Any], names: Iterable[str]) -> list[dict[str, Any]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for row, name in zip(rows, names, strict=True):
        groups[name].append(row)
    return [{"name": name, **_summarise_group(group)} for name, group in groups.items()]


def _summarise_group(rows: Sequence[Any]) -> dict[str, Any]:
    done = [row for row in rows if row.state == MaskState.DONE]
    return {
        "masks": len(done),
        "skips": len(rows) - len(done),
        "median_seconds": statistics.median(row.seconds for row in done) if done else None,
        "mean_seconds": statistics.fmean(row.seconds for row in done) if done else None,
        "clicks": statistics.fmean(row.clicks for row in done) if done else None,
        "strokes": statistics.fmean(row.strokes for row in done) if done else None,
    }


def _draw_curve(seconds: Sequence[float]) -> list[dict[str, float]]:
    """Median seconds of groups of masks that follow one another."""
    size = max(_SMALLEST_GROUP, -(-len(seconds) // CURVE_POINTS))
    return [
        {"masks": float(start + len(group)), "seconds": statistics.median(group)}
        for start in range(0, len(seconds), size)
        if (group := seconds[start : start + size])
    ]
