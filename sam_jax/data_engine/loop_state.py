"""How far the loop has come: photos, masks by stage, versions with what people did with them, and what comes next."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select

from sam_jax.data_engine.database import Database
from sam_jax.data_engine.schedule import Round, ScheduleConfig
from sam_jax.data_engine.schema import MaskState, masks, photos
from sam_jax.data_engine.snapshots import count_learned
from sam_jax.data_engine.statistics import STAGES, summarise
from sam_jax.data_engine.versions import Version, list_versions


class DrawnWith(NamedTuple):
    """What people have drawn with a version.

    Attributes:
        masks: Number of masks that are done.
        seconds: Median seconds of a mask; None without masks.
        clicks: Mean clicks of a mask; None without masks.
    """

    masks: int
    seconds: float | None
    clicks: float | None


class LoopState(NamedTuple):
    """How far the loop has come.

    Attributes:
        photos: Number of photos.
        finished: Number of photos in which there is nothing more to see.
        learned: Number of photos with masks that people have made or seen.
        stages: Number of masks of each stage by their state.
        versions: Versions by number, each with what people have drawn with it.
        following: Next round of the schedule; None after the last.
    """

    photos: int
    finished: int
    learned: int
    stages: Mapping[str, Mapping[str, int]]
    versions: list[tuple[Version, DrawnWith]]
    following: Round | None


def read_loop_state(database: Database, schedule: ScheduleConfig | None = None) -> LoopState:
    """Read how far the loop has come.

    Args:
        database: Database of the masks.
        schedule: Rounds of retraining; None for the paper's, spread over the photos that there are.

    Raises:
        DatabaseError: The database cannot be reached.
    """
    with database.reading() as connection:
        total, finished = connection.execute(
            select(func.count(), func.count(photos.c.finished_at)).select_from(photos)
        ).one()
        counted = connection.execute(
            select(masks.c.stage, masks.c.state, func.count())
            .where(masks.c.state != MaskState.REMOVED)
            .group_by(masks.c.stage, masks.c.state)
        ).all()
        by_model = {group["name"]: group for group in summarise(connection)["by_model"]}
        known = list_versions(connection)
    stages: dict[str, dict[str, int]] = {name: {} for name in STAGES.values()}
    for stage, state, number in counted:
        stages[STAGES[stage]][state] = number
    made = [version for version in known if version.origin is not None and version.made_at]
    schedule = schedule or ScheduleConfig(photos=max(1, total))
    return LoopState(
        photos=total,
        finished=finished,
        learned=count_learned(database, with_automatic=False).photos,
        stages=stages,
        versions=[(one, _read_drawn(by_model.get(f"{one.model}: {one.name}"))) for one in known],
        following=schedule.find_next(len(made)),
    )


def _read_drawn(group: Mapping[str, Any] | None) -> DrawnWith:
    if group is None:
        return DrawnWith(0, None, None)
    return DrawnWith(group["masks"], group["median_seconds"], group["clicks"])
