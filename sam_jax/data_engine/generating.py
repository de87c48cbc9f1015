"""Stage 3: automatic masks of the photos that nobody has masked, stored as done; no person looks at them.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 4, "Fully automatic stage".
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update

from sam_jax.data_engine.database import Database
from sam_jax.data_engine.mask_states import make_model_mask
from sam_jax.data_engine.photos import is_free
from sam_jax.data_engine.pictures import inspect_file
from sam_jax.data_engine.schema import MaskState, Stage, masks, photos, settings
from sam_jax.data_engine.workplace import PHOTO_FOLDER, register_photos
from sam_jax.inference.masking import (
    Generator,
    PhotoMasks,
    PhotoOutcome,
    find_masks,
    mask_in_groups,
)
from sam_jax.types import InputError


def is_unmasked() -> ColumnElement[bool]:
    """Whether a photo is still to be masked automatically, as a condition of a query.

    Nobody has finished it, neither a person nor an earlier run, and it has no masks but those that wait to be looked at
    since a detector pre-filled them.
    """
    is_kept = or_(masks.c.state != MaskState.PREFILLED, masks.c.stage == Stage.FULLY_AUTOMATIC)
    return and_(
        photos.c.finished_at.is_(None), ~exists().where(masks.c.photo_id == photos.c.id, is_kept)
    )


class ToMask(NamedTuple):
    """Which photos of a database are to be masked.

    Attributes:
        numbers: Numbers of the photos that are to be masked now, by their path relative to the folder, in order.
        finished: Number of photos that are finished, by people or by an earlier run.
        left: Number of photos that are left to people: begun by one, or open now.
    """

    numbers: dict[str, int]
    finished: int
    left: int


def open_photos(database: Database, places: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The folder of a database's photos, whose new photos are taken into the database, and which of them are meant.

    Args:
        database: Database of the masks.
        places: Photos and folders in the folder of the photos; none for all. For a database that is new, the folder.

    Returns:
        The folder, and the places as paths relative to it.

    Raises:
        InputError: A place is not there or lies elsewhere, or no folder is known.
        DatabaseError: The database cannot be reached.
    """
    with database.reading() as connection:
        query = select(settings.c.value).where(settings.c.name == PHOTO_FOLDER)
        known = connection.execute(query).scalar_one_or_none()
    if known is None:
        if len(places) != 1 or not places[0].is_dir():
            raise InputError(
                f"{database.name} is new: name the folder of its photos, and nothing else"
            )
        folder = places[0].absolute()
    else:
        folder = Path(known)
    for place in places:
        if not place.exists():
            raise InputError(f"no such file or folder: {place}")
        if not place.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{place} is not in {folder}, the folder of the database's photos")
    register_photos(database, folder)
    return folder, [place.resolve().relative_to(folder.resolve()) for place in places]


def choose_photos(connection: Connection, places: Sequence[Path]) -> ToMask:
    """Choose the photos that are to be masked.

    Args:
        connection: Transaction.
        places: Photos and folders, relative to the folder of the photos; none for all.
    """
    rows = connection.execute(
        select(
            *(photos.c.id, photos.c.path, photos.c.finished_at),
            and_(is_unmasked(), is_free()).label("is_chosen"),
        ).order_by(photos.c.path)
    )
    numbers: dict[str, int] = {}
    finished = left = 0
    for row in rows:
        if places and not any(Path(row.path).is_relative_to(place) for place in places):
            continue
        if row.is_chosen:
            numbers[row.path] = row.id
        elif row.finished_at is not None:
            finished += 1
        else:
            left += 1
    return ToMask(numbers, finished, left)


class DatabaseRun:
    """Finds masks for photos of a database and stores them there, each photo's in one transaction that finishes it.

    People may be at work meanwhile: a photo that somebody has opened or begun since is left alone.

    Args:
        generators: One generator for each device.
        database: Database of the masks.
        folder: Folder of the photos.
        chosen: Photos that are to be masked.
        model_id: Number of the model in the database.

    Attributes:
        to_do: Paths of the photos that are to be masked.
        done_before: Number of photos that are finished already.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        database: Database,
        folder: Path,
        chosen: ToMask,
        model_id: int,
    ) -> None:
        self._generators = generators
        self._database, self._folder, self._model_id = database, folder, model_id
        self._numbers = chosen.numbers
        self.to_do = list(chosen.numbers)
        self.done_before = chosen.finished

    def __iter__(self) -> Iterator[PhotoOutcome]:
        """Results for the photos, in the order in which they are finished.

        Raises:
            DatabaseError: The database cannot take the masks.
        """

        def process(generator: Generator, group: Sequence[str]) -> list[PhotoOutcome]:
            return [self._keep(found) for found in find_masks(generator, self._folder, group)]

        yield from mask_in_groups(self._generators, self.to_do, process)

    def keep_all(self, found: Iterable[PhotoMasks]) -> Iterator[PhotoOutcome]:
        """Store masks that are found elsewhere, photo by photo; errors are those of iterating."""
        return map(self._keep, found)

    def _keep(self, found: PhotoMasks) -> PhotoOutcome:
        if found.size is None:
            return PhotoOutcome(found.name, 0, found.problem)
        try:
            about = inspect_file(self._folder / found.name)
        except InputError as error:
            return PhotoOutcome(found.name, 0, str(error))
        version = {"height": found.size[0], "width": found.size[1], **about._asdict()}
        number = self._numbers[found.name]
        with self._database.writing() as connection:
            stored = store_masks(connection, number, version, found, self._model_id)
        return PhotoOutcome(found.name, stored or 0, None, is_left=stored is None)


def store_masks(
    connection: Connection,
    photo_id: int,
    version: dict[str, Any],
    found: PhotoMasks,
    model_id: int,
) -> int | None:
    """Store the automatic masks of a photo and finish it, unless it is not to be masked any more.

    Pre-filled masks that nobody has looked at make way. Masks without pixels, which a generator may find where its
    thresholds are low, are left out.

    Args:
        connection: Transaction that writes.
        photo_id: Number of the photo.
        version: Columns of the table of photos for its size and version.
        found: Masks of the photo.
        model_id: Number of the model in the database.

    Returns:
        Number of masks that the photo has got; None if it is left alone.
    """
    now = time.time()
    finished = {"finished_at": now, "finished_by": None, **version}
    taken = connection.execute(
        update(photos).where(photos.c.id == photo_id, is_unmasked(), is_free()).values(**finished)
    )
    if not taken.rowcount:
        return None
    waits = masks.c.state == MaskState.PREFILLED
    connection.execute(delete(masks).where(masks.c.photo_id == photo_id, waits))
    rows = [
        make_model_mask(
            str(record["segmentation"]["counts"]),
            (version["height"], version["width"]),
            photo_id=photo_id,
            stage=Stage.FULLY_AUTOMATIC,
            state=MaskState.DONE,
            prompt=None,
            predicted_iou=record["predicted_iou"],
            model_id=model_id,
            at=now + 1e-6 * number,
        )
        for number, record in enumerate(found.records)
        if record["area"]
    ]
    if rows:
        connection.execute(insert(masks), rows)
    return len(rows)
