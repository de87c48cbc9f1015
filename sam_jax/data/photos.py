"""A folder of photos and nothing else."""

from pathlib import Path

from sam_jax.data.example import Example, RecordError
from sam_jax.data.folders import list_photos
from sam_jax.data.images import read_image
from sam_jax.types import InputError


class PhotoFolder:
    """A source: every photo below a folder, upright and without masks.

    Raises:
        InputError: There is no such folder, or it has no photos.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._photos = list_photos(folder)

    @property
    def name(self) -> str:
        """Path of the folder."""
        return str(self._folder)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Example:
        path = self._folder / self._photos[index]
        try:
            return Example(str(path), read_image(path), [])
        except InputError as error:
            raise RecordError(str(error)) from error
