"""What people do with the photos of a folder: open one, prompt the model, save what they draw; without HTTP."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from sam_jax.data.folders import list_photos
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.journal import (
    Outcome,
    make_change,
    read_history,
    read_masks,
    redo_change,
    undo_change,
)
from sam_jax.data_engine.mask_states import read_mask, read_prompt, show_mask
from sam_jax.data_engine.photos import (
    MissingError,
    add_photos,
    finish_photo,
    lease_next,
    lease_photo,
    list_photo_rows,
    read_names,
    read_photo_row,
    release_lease,
    renew_lease,
)
from sam_jax.data_engine.pictures import Picture, Pictures, inspect_file
from sam_jax.data_engine.schema import MaskState, masks, models, photos, settings
from sam_jax.data_engine.segmenter import SegmentedMask, Segmenter, ServedModel, choose
from sam_jax.types import InputError, RunError

PHOTO_FOLDER = "photos"
"""Name of the setting that holds the folder of the photos."""
_SECONDS_UNTIL_READY = 20


class GoneError(InputError):
    """A photo cannot be used any more: it has vanished, is damaged, or has become another one."""


class OpenPhoto(NamedTuple):
    """A photo that is ready to be worked on.

    Attributes:
        row: Row of the table of photos.
        key: Name of the photo and its version.
        picture: The photo.
    """

    row: Mapping[str, Any]
    key: str
    picture: Picture


class Workplace:
    """Photos of a folder, their masks in a database, and a model that helps.

    Args:
        folder: Folder of the photos.
        database: Database of their masks.
        segmenter: Model that answers prompts.
        model_name: What people call the model.
        say: Prints a line about what went wrong without stopping the work.

    Attributes:
        folder: Folder of the photos.
        database: Database of their masks.
        model: Model that answers prompts now; whoever asks twice in one piece of work may get two.
        last_prompt: Time of the last prompt; work in the background waits until people pause.

    Raises:
        InputError: The folder has no photos.
        DatabaseError: The database cannot be reached.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        segmenter: Segmenter,
        model_name: str,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.database = folder, database
        self.last_prompt = 0.0
        self._pictures = Pictures()
        self._say = say
        register_photos(database, folder)
        self.take_up(segmenter, model_name)

    def take_up(self, segmenter: Segmenter, model_name: str) -> None:
        """Let another model answer from now on; what is being answered is answered by the one before.

        Args:
            segmenter: Model that answers prompts, ready to do so where people are at work.
            model_name: What people call the model.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with self.database.writing() as connection:
            number = register_model(connection, model_name, segmenter.digest)
        self.model = ServedModel(segmenter, model_name, number)

    def status(self) -> dict[str, Any]:
        """Numbers of photos and masks, and whether the model is ready."""
        with self.database.reading() as connection:
            total, finished, damaged = connection.execute(
                select(
                    func.count(), func.count(photos.c.finished_at), func.count(photos.c.problem)
                ).select_from(photos)
            ).one()
            done = connection.execute(
                select(func.count()).select_from(masks).where(masks.c.state == MaskState.DONE)
            ).scalar_one()
        model = self.model
        return {
            "model": model.name,
            "digest": model.segmenter.digest,
            "is_ready": model.segmenter.is_ready.is_set(),
            "photos": {"total": total, "finished": finished, "problems": damaged},
            "masks": done,
        }

    def list_photos(self, after: int, most: int) -> list[dict[str, Any]]:
        """Photos by number, with how many masks they have and who works on them."""
        with self.database.reading() as connection:
            return list_photo_rows(connection, after, most)

    def open_next(self, person: str, after: int | None) -> dict[str, Any] | None:
        """Lease and open the next photo that is to be done; None if nothing is left.

        Photos that cannot be used are noted and passed over.
        """
        while True:
            with self.database.writing() as connection:
                taken = lease_next(connection, person, after)
            if taken is None:
                return None
            photo_id, lease = taken
            try:
                return self._show(photo_id, lease)
            except GoneError:
                with self.database.writing() as connection:
                    release_lease(connection, photo_id, lease)

    def open(self, photo_id: int, person: str, lease: str | None) -> dict[str, Any]:
        """Lease and open a photo.

        Raises:
            ConflictError: Somebody else is at work on it.
            GoneError: The photo cannot be used.
            MissingError: There is no photo of this number.
        """
        with self.database.writing() as connection:
            granted = lease_photo(connection, photo_id, person, lease)
        try:
            return self._show(photo_id, granted)
        except GoneError:
            with self.database.writing() as connection:
                release_lease(connection, photo_id, granted)
            raise

    def renew(self, photo_id: int, lease: str) -> None:
        """Hold a photo for longer; errors are those of `renew_lease`."""
        with self.database.writing() as connection:
            renew_lease(connection, photo_id, lease)

    def release(self, photo_id: int, lease: str) -> None:
        """Give a photo back."""
        with self.database.writing() as connection:
            release_lease(connection, photo_id, lease)

    def finish(self, photo_id: int, lease: str, *, is_finished: bool) -> None:
        """Note that there is nothing more to see in a photo; errors are those of `finish_photo`."""
        with self.database.writing() as connection:
            finish_photo(connection, photo_id, lease, is_finished=is_finished)

    def change(
        self, photo_id: int, lease: str, change_id: str, kind: str, mask: Any
    ) -> dict[str, Any]:
        """Change a mask; errors are those of `make_change`."""
        with self.database.reading() as connection:
            size = _size_of(read_photo_row(connection, photo_id))
        columns = read_mask(mask, size)
        with self.database.writing() as connection:
            outcome = make_change(connection, photo_id, lease, change_id, kind, columns)
            return _show_outcome(connection, outcome)

    def undo(self, photo_id: int, lease: str, number: int) -> dict[str, Any]:
        """Undo a change; errors are those of `undo_change`."""
        with self.database.writing() as connection:
            return _show_outcome(connection, undo_change(connection, photo_id, lease, number))

    def redo(self, photo_id: int, lease: str, number: int) -> dict[str, Any]:
        """Redo a change; errors are those of `redo_change`."""
        with self.database.writing() as connection:
            return _show_outcome(connection, redo_change(connection, photo_id, lease, number))

    def predict(self, photo_id: int, prompt: Any, *, is_preview: bool) -> dict[str, Any]:
        """Masks that follow from a prompt, and the number of the model that has drawn them.

        Args:
            photo_id: Number of the photo.
            prompt: The prompt, from JSON.
            is_preview: Whether the mask is only to be looked at.

        Raises:
            GoneError: The photo cannot be used.
            InputError: The prompt is none.
            MissingError: There is no photo of this number.
            RunError: The model is not ready yet.
        """
        model = self.model
        segmenter = model.segmenter
        if not segmenter.is_ready.wait(0 if is_preview else _SECONDS_UNTIL_READY):
            raise RunError("the model is getting ready: try again in a moment")
        self.last_prompt = time.monotonic()
        with self.database.reading() as connection:
            row = read_photo_row(connection, photo_id)
        read = read_prompt(prompt, _size_of(row))
        key = self.embed(row, segmenter)
        if read.base is not None and not read.clicks:
            raise InputError("a mask is refined by a click at least")
        answer = segmenter.answer(key, read)
        chosen = choose(answer, read.choice)
        mask = segmenter.draw(key, answer, chosen, is_preview=is_preview)
        others = (
            [segmenter.draw(key, answer, k, is_preview=True) for k in range(len(answer.iou))]
            if len(answer.iou) > 1 and not is_preview
            else []
        )
        self.last_prompt = time.monotonic()
        return {
            "model": model.number,
            "mask": _show_segmented(mask),
            "choice": chosen if len(answer.iou) > 1 else None,
            "masks": [_show_segmented(other) for other in others],
        }

    def embed(self, row: Mapping[str, Any], segmenter: Segmenter) -> str:
        """Make sure that a model has the embedding of a photo in memory, and return the name of the photo's version.

        Raises:
            GoneError: The photo cannot be used.
        """
        key = self._check_version(row)
        if not segmenter.has(key):
            segmenter.embed(key, self.read_picture(row["id"]).picture.pixels)
        return key

    def read_picture(self, photo_id: int) -> OpenPhoto:
        """Read a photo, and take note of what is wrong with it.

        Raises:
            GoneError: The photo cannot be used.
            MissingError: There is no photo of this number.
        """
        with self.database.reading() as connection:
            row = read_photo_row(connection, photo_id)
        path = self.folder / row["path"]
        try:
            about = inspect_file(path)
            key = f"{photo_id}-{about.file_size}-{about.modified_ns}"
            picture = self._pictures.read(path, key)
        except InputError as error:
            raise self._give_up(row, str(error)) from error
        height, width = picture.size
        values = {"height": height, "width": width, "problem": None, **about._asdict()}
        if any(row[name] != value for name, value in values.items()):
            self._take_version(row, values)
        return OpenPhoto({**row, **values}, key, picture)

    def _check_version(self, row: Mapping[str, Any]) -> str:
        """The name of the photo's version, if that is the file's.

        Raises:
            GoneError: The photo cannot be used.
        """
        try:
            about = inspect_file(self.folder / row["path"])
        except InputError as error:
            raise self._give_up(row, str(error)) from error
        if (row["file_size"], row["modified_ns"]) != about:
            self.read_picture(row["id"])
        return f"{row['id']}-{about.file_size}-{about.modified_ns}"

    def _take_version(self, row: Mapping[str, Any], values: dict[str, Any]) -> None:
        """Note a photo's size and version.

        Raises:
            GoneError: It has masks, and they don't fit it any more.
        """
        sizes = [(part["height"], part["width"]) for part in (row, values)]
        with self.database.writing() as connection:
            query = select(func.count()).select_from(masks).where(masks.c.photo_id == row["id"])
            has_masks = connection.execute(query).scalar_one() > 0
            if not has_masks or sizes[0] in (sizes[1], (None, None)):
                connection.execute(update(photos).where(photos.c.id == row["id"]).values(values))
                return
        (old_h, old_w), (new_h, new_w) = sizes
        raise self._give_up(
            row,
            f"{row['path']} is another photo than it was: {new_w} wide and {new_h} high, and its masks are "
            f"{old_w} and {old_h}; put the old one back, or give the new one another name",
        )

    def _give_up(self, row: Mapping[str, Any], problem: str) -> GoneError:
        """Note what is wrong with a photo, so that it is passed over, named and counted."""
        if row["problem"] != problem:
            self._say(f"{row['path']} is left out: {problem}")
            with self.database.writing() as connection:
                query = update(photos).where(photos.c.id == row["id"])
                connection.execute(query.values(problem=problem))
        return GoneError(problem)

    def _show(self, photo_id: int, lease: str) -> dict[str, Any]:
        """A photo as a browser gets it, with its masks."""
        opened = self.read_picture(photo_id)
        height, width = opened.picture.size
        with self.database.reading() as connection:
            names = read_names(connection)
            shown = [show_mask(row, names) for row in read_masks(connection, photo_id)]
            history = read_history(connection, photo_id)
        return {
            "lease": lease,
            "photo": {
                "id": photo_id,
                "path": opened.row["path"],
                "height": height,
                "width": width,
                "levels": len(opened.picture.levels),
                "version": opened.key,
                "is_finished": opened.row["finished_at"] is not None,
            },
            "masks": shown,
            "history": history._asdict(),
        }


def register_photos(database: Database, folder: Path) -> None:
    """Take the photos of a folder into a database; what was wrong with some is looked at again.

    Raises:
        InputError: There is no such folder, or it has no photos.
        DatabaseError: The database cannot be reached.
    """
    paths = list_photos(folder)
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{path!r} has a name that is no text: rename it") from error
    with database.writing() as connection:
        add_photos(connection, paths)
        connection.execute(update(photos).where(photos.c.problem.is_not(None)).values(problem=None))
        place = str(folder.absolute())
        if not connection.execute(
            update(settings).where(settings.c.name == PHOTO_FOLDER).values(value=place)
        ).rowcount:
            connection.execute(insert(settings).values(name=PHOTO_FOLDER, value=place))


def register_model(connection: Connection, name: str, digest: str) -> int:
    """The number of a model in the database, which gets to know it where it is new."""
    query = select(models.c.id).where(models.c.digest == digest)
    known = connection.execute(query).scalar_one_or_none()
    if known is None:
        connection.execute(
            insert(models).values(name=name, digest=digest, since=time.time(), numbers="{}")
        )
        known = connection.execute(query).scalar_one()
    return known


def _size_of(row: Mapping[str, Any]) -> tuple[int, int]:
    if row["height"] is None:
        raise MissingError(f"{row['path']} has not been opened yet")
    return row["height"], row["width"]


def _show_segmented(mask: SegmentedMask) -> dict[str, Any]:
    rle = {"size": list(mask.size), "counts": mask.counts}
    return {"rle": rle, "predicted_iou": mask.predicted_iou}


def _show_outcome(connection: Connection, outcome: Outcome) -> dict[str, Any]:
    mask = None if outcome.mask is None else show_mask(outcome.mask, read_names(connection))
    return {
        "mask_id": outcome.mask_id,
        "mask": mask,
        "history": outcome.history._asdict(),
    }
