"""A folder in SA-1B's form: photos, and beside each a json file with its masks, run-length encoded."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import list_photos, read_photo


class Sa1bRecord(NamedTuple):
    """A photo and its json file.

    Attributes:
        photo: RGB pixels of the photo.
        image: Entry `image` of the json file: `image_id`, `file_name`, ...
        annotations: Entry `annotations` of the json file; each has a `segmentation` with `size` and `counts`.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    image: dict[str, Any]
    annotations: list[dict[str, Any]]

    @property
    def masks(self) -> RleMasks:
        """Masks of the annotations, in their order."""
        size = (self.photo.shape[0], self.photo.shape[1])
        return RleMasks([annotation["segmentation"] for annotation in self.annotations], size)


class Sa1bFolder:
    """A source: every photo below a folder, with the json file of its name.

    Raises:
        InputError: There is no such folder, or it has no photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = list_photos(folder)

    @property
    def name(self) -> str:
        """Path of the folder."""
        return str(self.folder)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Example:
        path = self.folder / self.photos[index]
        record = read_sa1b_record(path)
        return Example(str(path), record.photo, record.masks)


def read_sa1b_record(path: Path) -> Sa1bRecord:
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
    return Sa1bRecord(read_photo(path), image if isinstance(image, dict) else {}, annotations)
