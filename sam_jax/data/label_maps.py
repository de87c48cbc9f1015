"""Photos with a label map each: BBBC038's nuclei, DAVIS' frames, and any other data set in this form."""

from pathlib import Path

from sam_jax.data.example import Example, LabelMasks, RecordError, check_size
from sam_jax.data.folders import list_files, list_photos, read_photo, strip_ending
from sam_jax.data.hints import read_hints
from sam_jax.data.label_images import read_labels

LABEL_ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Endings of lossless formats; JPEG would blur one label into another."""


class LabelMapFolder:
    """A source: a folder of photos, and a folder of label maps with the same names.

    The value of a pixel in a label map says which object the pixel belongs to; 0 (black) is the background. So a mask
    of 0 and 255 is one object. `read_labels` says how other masks are read.

    Args:
        photos: Folder of the photos.
        labels: Folder of the label maps.

    Raises:
        InputError: A folder is missing, there are no photos, or the file of hints is wrong.
    """

    def __init__(self, photos: Path, labels: Path) -> None:
        self._photo_folder = photos
        self._label_folder = labels
        self.photos = list_photos(photos)
        self._hints = read_hints(photos, labels)
        self._labels: dict[str, list[str]] = {}
        for path in list_files(labels, LABEL_ENDINGS):
            self._labels.setdefault(strip_ending(path), []).append(path)

    @property
    def name(self) -> str:
        """Path of the folder of photos."""
        return str(self._photo_folder)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Example:
        path = self._photo_folder / self.photos[index]
        if problem := self._find_problem(self.photos[index]):
            raise RecordError(problem)
        photo = read_photo(path, self._hints)
        label_path = self._label_folder / self._labels[strip_ending(self.photos[index])][0]
        labels, notes = read_labels(label_path, self._hints)
        check_size(str(label_path), labels.shape, photo.size, photo.note)
        return Example(str(path), photo.pixels, LabelMasks(labels), (*photo.notes, *notes))

    def list_left_out(self) -> list[str]:
        """Photos that have no label map, or two."""
        return [problem for photo in self.photos if (problem := self._find_problem(photo))]

    def _find_problem(self, photo: str) -> str | None:
        name = strip_ending(photo)
        maps = self._labels.get(name, [])
        if len(maps) == 1:
            return None
        if not maps:
            return f"{self._photo_folder / photo}: no map {name}.png in {self._label_folder}"
        return f"{self._photo_folder / photo}: two label maps of one name in {self._label_folder}: {', '.join(maps)}"
