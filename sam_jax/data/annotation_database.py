"""The database of `sam-jax annotate` as a data set: photos, each with the masks that are done and seen by people."""

from pathlib import Path
from typing import Any

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.images import read_image
from sam_jax.types import InputError

ENDINGS = (".sqlite", ".db")
"""Endings of SQLite files."""
SERVER = "postgresql"
"""What the address of a database on a server begins with."""
AUTOMATIC = "automatic"
"""Name of the setting that takes fully automatic masks in, too, which nobody has looked at."""
_SETTINGS = "SELECT name, value FROM settings"
_WANTED = "masks.state = 'done' AND (masks.stage <> 3 OR masks.person_id IS NOT NULL OR :automatic)"
_PHOTOS = f"""
    SELECT id, path FROM photos
    WHERE problem IS NULL AND EXISTS (SELECT 1 FROM masks WHERE masks.photo_id = photos.id AND {_WANTED})
    ORDER BY path
"""
_PROBLEMS = "SELECT path, problem FROM photos WHERE problem IS NOT NULL ORDER BY path"
_MASKS = f"""
    SELECT counts FROM masks WHERE photo_id = :photo AND {_WANTED} ORDER BY created_at, id
"""


def is_database(place: str) -> bool:
    """Whether a data set is a database of annotations, on a server or in a file that exists."""
    path = Path(place)
    return place.partition(":")[0].partition("+")[0] == SERVER or (
        path.suffix in ENDINGS and path.is_file()
    )


class AnnotationDatabase:
    """A source: the photos of a database that have masks. Photos that get their first mask later are not among them.

    Masks of the fully automatic stage count where a person has changed them; others only if the database says so.

    Args:
        place: Path of the SQLite file, or the address of a database on a server.

    Raises:
        InputError: The database cannot be read, is none of annotations, or has no masks yet.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        settings = dict(self._ask(_SETTINGS))
        self._automatic = AUTOMATIC in settings
        self._folder = Path(settings.get("photos", ""))
        if not self._folder.is_dir() and not place.startswith(SERVER):
            self._folder = Path(place).parent  # where the whole folder has moved
        self._photos = self._ask(_PHOTOS, automatic=self._automatic)
        self._left_out = [f"{path}: {problem}" for path, problem in self._ask(_PROBLEMS)]
        if not self._photos:
            raise InputError(f"{self.name} has no masks yet: draw some with sam-jax annotate")

    def __reduce__(self) -> tuple[type["AnnotationDatabase"], tuple[str]]:
        return AnnotationDatabase, (self._place,)

    @property
    def name(self) -> str:
        """Path of the file, or the address without the password."""
        before, at, after = self._place.rpartition("@")
        user = before.rpartition(":")[0] if before.count(":") > 1 else before
        return f"{user}{at}{after}"

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Example:
        number, name = self._photos[index]
        path = self._folder / name
        try:
            image = read_image(path)
        except InputError as error:
            raise RecordError(str(error)) from error
        size = (image.shape[0], image.shape[1])
        found = self._ask(_MASKS, photo=number, automatic=self._automatic)
        rles = [{"size": size, "counts": counts} for (counts,) in found]
        return Example(str(path), image, RleMasks(rles, size))

    def list_numbers(self) -> list[int]:
        """Numbers of the photos in the database, from 0 on."""
        return [number - 1 for number, _ in self._photos]

    def list_left_out(self) -> list[str]:
        """Photos that could not be used when they were to be annotated."""
        return self._left_out

    def _ask(self, query: str, **values: Any) -> list[Any]:
        """Rows of a query, by a connection of its own: sources go from process to process.

        Raises:
            InputError: The database cannot be read, or is none of annotations.
        """
        # Imported here because only this source needs it.
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        is_server = self._place.startswith(SERVER)
        # Opened for reading only, so that nothing appears where no database was.
        file = f"sqlite:///file:{Path(self._place).absolute()}?mode=ro&uri=true"
        try:
            engine = create_engine(self._place if is_server else file, poolclass=NullPool)
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query), values)]
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise InputError(f"{self.name} is no database of annotations: {reason}") from error
