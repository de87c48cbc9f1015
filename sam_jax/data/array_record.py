"""SA-1B as a TFDS data set in ArrayRecord, with the schema of TFDS's own `segment_anything`; TensorFlow is not needed.

`build_array_record` of the module beside this one writes it.
"""

from pathlib import Path
from typing import Any

from sam_jax.data.example import Example, RecordError, RleMasks
from sam_jax.data.folders import decode_photo
from sam_jax.ops.rle import Rle
from sam_jax.storage import BucketPath, to_local
from sam_jax.types import InputError

DATASET_NAME = "segment_anything"
FEATURES_FILE = "features.json"


class ArrayRecordSource:
    """A source: the split `train` of a data set, or another if the data set has none of that name.

    Args:
        folder: Folder with features.json, or one that is at most two levels above it. One in a bucket is copied to the
            local disk: where it is too large for that, mount the bucket and name a local path.

    Raises:
        InputError: There is no such data set, or it is not in ArrayRecord, or it has another schema.
    """

    def __init__(self, folder: Path) -> None:
        self._name = str(folder)
        self._folder = _to_local(folder)
        self._records = _open_records(self._folder)

    def __reduce__(self) -> tuple[type["ArrayRecordSource"], tuple[Path]]:
        return ArrayRecordSource, (self._folder,)

    @property
    def name(self) -> str:
        """Path of the folder."""
        return self._name

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} records; there is no number {index}")
        try:
            record = self._records[index]
        except Exception as error:  # from C++: whatever its error code maps to
            raise RecordError(f"{self.name}: record {index} is damaged: {error}") from error
        name = f"{self.name}: {record['image']['file_name'].decode()} (record {index})"
        photo = decode_photo(record["image"]["content"], name)
        segmentations = record["annotations"]["segmentation"]
        rles = [
            Rle(size=[int(side) for side in size], counts=counts.decode())
            for size, counts in zip(segmentations["size"], segmentations["counts"], strict=True)
        ]
        return Example(name, photo, RleMasks(rles, (photo.shape[0], photo.shape[1])))


def _to_local(folder: Path) -> Path:
    """The folder itself, or a local copy, since records are read at random places of large files."""
    if not isinstance(folder, BucketPath):
        return folder
    version_folder = find_version_folder(folder)
    return to_local(version_folder) if version_folder else folder


def _open_records(folder: Path) -> Any:
    # Imported here because only this source needs it.
    import tensorflow_datasets as tfds

    version_folder = find_version_folder(folder)
    if version_folder is None:
        raise InputError(f"no TFDS data set in {folder}: it has no {FEATURES_FILE}")
    try:
        builder: Any = tfds.builder_from_directory(str(version_folder))
        features = sorted(builder.info.features or ())
        splits = sorted(builder.info.splits)
        if features == ["annotations", "image"] and splits:
            return builder.as_data_source(
                "train" if "train" in splits else splits[0],
                decoders={"image": {"content": tfds.decode.SkipDecoding()}},
            )
    # Whatever is wrong in the files: its own exceptions, NotImplementedError, KeyError, ...
    except Exception as error:
        raise InputError(
            f"{version_folder} is not a TFDS data set in ArrayRecord: {error}"
        ) from error
    raise InputError(
        f"{version_folder} has the features {', '.join(features)} in {len(splits)} splits; "
        f"only the schema of `{DATASET_NAME}` (annotations, image) can be read"
    )


def find_version_folder(folder: Path) -> Path | None:
    """The folder of features.json, the given one or one below it, as in NAME/VERSION/features.json; None for none.

    Raises:
        InputError: There are several.
    """
    found = sorted(
        path
        for levels in ("", "*/", "*/*/")
        for path in folder.glob(levels + FEATURES_FILE)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)  # unfinished
    )
    if len(found) > 1:
        names = ", ".join(str(path.parent) for path in found)
        raise InputError(f"several TFDS data sets in {folder}: name one of {names}")
    return found[0].parent if found else None
