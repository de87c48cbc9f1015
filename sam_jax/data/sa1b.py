"""A folder in SA-1B's form: photos, and beside each a json file with its masks, run-length encoded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import Photo, list_files, list_photos, read_photo, strip_ending
from sam_jax.data.hints import Hints, read_hints


class Sa1bRecord(NamedTuple):
    """A photo and its json file.

    Attributes:
        photo: The photo.
        image: Entry `image` of the json file: `image_id`, `file_name`, ...
        annotations: Entry `annotations` of the json file; each has a `segmentation` with `size` and `counts`.
    """

    photo: Photo
    image: dict[str, Any]
    annotations: list[dict[str, Any]]

    @property
    def masks(self) -> RleMasks:
        """Masks of the annotations, in their order."""
        rles = [annotation["segmentation"] for annotation in self.annotations]
        return RleMasks(rles, self.photo.size, self.photo.note)


class Sa1bFolder:
    """A source: every photo below a folder, with the json file of its name.

    Raises:
        InputError: There is no such folder, or it has no photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = list_photos(folder)
        self.hints = read_hints(folder)

    @property
    def name(self) -> str:
        """Path of the folder."""
        return str(self.folder)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Example:
        path = self.folder / self.photos[index]
        record = read_sa1b_record(path, self.hints)
        return Example(str(path), record.photo.pixels, record.masks, record.photo.notes)

    def list_left_out(self) -> list[str]:
        """Photos that have no json file."""
        with_json = {strip_ending(path) for path in list_files(self.folder, (".json",))}
        return [
            f"{self.folder / photo}: no json file of its name beside it"
            for photo in self.photos
            if strip_ending(photo) not in with_json
        ]


def read_sa1b_record(path: Path, hints: Hints) -> Sa1bRecord:
    """Read a photo and the json file beside it; masks are not decoded yet.

    Raises:
        RecordError: A file is missing or damaged, or the json file does not have SA-1B's form.
    """
    document_path = path.with_suffix(".json")
    try:
        document = json.loads(document_path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(f"{path}: no {document_path.name} beside it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{document_path} cannot be read as JSON: {error}") from error
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list) or not all(
        isinstance(annotation, dict) and "segmentation" in annotation for annotation in annotations
    ):
        raise RecordError(
            f"{document_path} is not in SA-1B's form: it needs a list `annotations`, each with a `segmentation`"
        )
    image = document.get("image")
    return Sa1bRecord(
        read_photo(path, hints), image if isinstance(image, dict) else {}, annotations
    )
