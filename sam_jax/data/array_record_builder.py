"""Writing a folder in SA-1B's form as a TFDS data set in ArrayRecord, without TensorFlow."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sam_jax.data.array_record import DATASET_NAME, FEATURES_FILE
from sam_jax.data.example import RecordError
from sam_jax.data.folders import UPRIGHT, read_orientation
from sam_jax.data.hints import Hints
from sam_jax.data.left_out import summarise_reasons
from sam_jax.data.pixel_runs import Runs, bound_runs
from sam_jax.data.sa1b import Sa1bFolder, Sa1bRecord, read_sa1b_record
from sam_jax.ops.rle import compress_counts
from sam_jax.storage import atomic_folder, remove_leftovers
from sam_jax.types import InputError, RunError

VERSION = "1.0.0"


class BuildReport(NamedTuple):
    """The result of building a data set.

    Attributes:
        folder: Folder of the data set.
        written: Number of records in the data set.
        skipped: Reasons why photos were left out, one for each.
        notes: Choices that reading the others had to make, a line for each.
    """

    folder: Path
    written: int
    skipped: list[str]
    notes: list[str]


def build_array_record(
    source: Path,
    output: Path,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    on_start: Callable[[str], None] = lambda line: None,
) -> BuildReport:
    """Write the photos and masks of a folder to OUTPUT/segment_anything/1.0.0, all or nothing.

    Each photo and each mask is decoded once to see whether it can be. Photos go in as they are, byte for byte, but for
    those that other programs would show otherwise than `read_image` does (16 bits, transparency, an EXIF orientation,
    formats beside JPEG and PNG): in their place goes a PNG file of what `read_image` gives.

    Args:
        source: Folder in SA-1B's form.
        output: Folder for data sets. It is made where it is missing.
        on_progress: Function that is called after each photo, with the number of photos that are done and of all.
        on_start: Function that is called with a line about the folder before the first photo.

    Raises:
        InputError: There is nothing to write, or no place to write it.
        RunError: The disk is full or broken.
    """
    folder = Sa1bFolder(source)
    destination = output / DATASET_NAME / VERSION
    if destination.exists():
        raise InputError(f"{destination} is already there: remove it, or choose another --output")
    skipped: list[str] = []
    notes: list[str] = []

    def generate() -> Iterator[tuple[str, dict[str, Any]]]:
        for index, photo in enumerate(folder.photos):
            try:
                encoded, some = _encode_record(source / photo, index, folder.hints)
            except RecordError as error:
                skipped.append(str(error))
            else:
                notes.extend(some)
                yield photo, encoded
            on_progress(index + 1, len(folder))
        if len(skipped) == len(folder):
            raise InputError(
                f"none of the {len(folder)} photos in {source} can be used; the first: {skipped[0]}"
            )

    if output.is_dir():
        remove_leftovers(output)
    with atomic_folder(destination, FEATURES_FILE) as unfinished:
        left_out = folder.list_left_out()
        rest = f", of which left out {summarise_reasons(left_out)}" if left_out else ""
        on_start(f"{source}: photos {len(folder)}{rest}")
        try:
            _write(unfinished, generate)
        except RuntimeError as error:  # how ArrayRecord, in C++, says that the disk is full
            raise RunError(f"cannot write {destination}: {error}") from error
    return BuildReport(destination, len(folder) - len(skipped), skipped, notes)


def segment_anything_features() -> Any:
    """The schema of the data set `segment_anything` of TFDS."""
    from tensorflow_datasets import features

    annotation = features.FeaturesDict(
        {
            "area": features.Scalar(dtype=np.uint64),
            "bbox": features.BBoxFeature(),
            "crop_box": features.BBoxFeature(),
            "id": features.Scalar(dtype=np.uint64),
            "point_coords": features.Tensor(shape=(1, 2), dtype=np.float64),
            "predicted_iou": features.Scalar(dtype=np.float64),
            "segmentation": features.FeaturesDict(
                {"counts": np.str_, "size": features.Tensor(shape=(2,), dtype=np.uint64)}
            ),
            "stability_score": features.Scalar(dtype=np.float64),
        }
    )
    image = features.FeaturesDict(
        {
            "content": features.Image(),
            "file_name": np.str_,
            "height": np.uint64,
            "image_id": np.uint64,
            "width": np.uint64,
        }
    )
    return features.FeaturesDict({"image": image, "annotations": features.Sequence(annotation)})


def _write(folder: Path, generate: Callable[[], Iterator[tuple[str, dict[str, Any]]]]) -> None:
    # Imported here because only this needs it.
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = DATASET_NAME
        VERSION = tfds.core.Version(VERSION)
        code_path = None  # where checksums of downloads would be; looking wants a package that TFDS does not declare

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=segment_anything_features())

        def _split_generators(self, dl_manager: object) -> dict[str, Any]:
            return {"train": generate()}

        def _generate_examples(self) -> None:
            raise AssertionError("_split_generators has the examples")

    tfds.disable_progress_bar()
    with (
        tempfile.TemporaryDirectory(
            dir=folder
        ) as place,  # TFDS makes folders of its own around the data set
        contextlib.redirect_stdout(io.StringIO()),  # it speaks of downloads
        _same_bytes_in_every_process(),
    ):
        Builder(data_dir=place, file_format="array_record").download_and_prepare()
        for file in Path(place, DATASET_NAME, VERSION).iterdir():
            file.rename(folder / file.name)


@contextlib.contextmanager
def _same_bytes_in_every_process() -> Iterator[None]:
    """Have TFDS write the features of a record in the order of their names.

    Left to itself, Protocol Buffers writes a map in an order that differs from process to process.
    """
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    def serialize(self: ExampleSerializer, example: Any) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)

    theirs = ExampleSerializer.serialize_example
    ExampleSerializer.serialize_example = serialize
    try:
        yield
    finally:
        ExampleSerializer.serialize_example = theirs


def _encode_record(path: Path, index: int, hints: Hints) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A record of the schema, and what a user should know of how it was read.

    Raises:
        RecordError: The photo or its json file cannot be used.
    """
    record = read_sa1b_record(path, hints)
    height, width = record.photo.size
    try:
        file_name = str(record.image.get("file_name", path.name))
        file_name.encode()
        annotations = [
            _encode_annotation(record, k, record.masks.runs(k))
            for k in range(len(record.annotations))
        ]
        image_id = np.uint64(record.image.get("image_id", index))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise RecordError(f"{path.with_suffix('.json')}: {error}") from error
    encoded = {
        "image": {
            "content": str(path) if _looks_alike_everywhere(path) else _encode_png(record),
            "file_name": file_name,
            "height": height,
            "image_id": image_id,
            "width": width,
        },
        "annotations": annotations,
    }
    return encoded, record.photo.notes


def _looks_alike_everywhere(path: Path) -> bool:
    """Whether every program decodes a photo to what `read_image` gives, as far as its header tells."""
    with Image.open(path) as image:
        is_plain = image.format in ("JPEG", "PNG") and image.mode in ("1", "L", "P", "RGB")
        is_deep = any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        is_single = getattr(image, "n_frames", 1) == 1
        has_transparency = image.has_transparency_data
    is_simple = is_plain and is_single and not is_deep and not has_transparency
    return is_simple and read_orientation(path) == UPRIGHT


def _encode_png(record: Sa1bRecord) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(record.photo.pixels).save(encoded, format="PNG")
    return encoded.getvalue()


def _encode_annotation(record: Sa1bRecord, index: int, runs: Runs) -> dict[str, Any]:
    annotation = record.annotations[index]
    counts = annotation["segmentation"]["counts"]
    (top, bottom), (left, right) = bound_runs(runs)
    box = [left, top, max(right - left - 1, 0), max(bottom - top - 1, 0)]
    height, width = runs.size
    unknown = [[np.nan, np.nan]]
    return {
        "area": np.uint64(annotation.get("area", runs.area)),
        "bbox": _normalise_box(annotation.get("bbox", box), runs.size),
        "crop_box": _normalise_box(annotation.get("crop_box", [0, 0, width, height]), runs.size),
        "id": np.uint64(annotation.get("id", index)),
        "point_coords": np.array(annotation.get("point_coords", unknown), np.float64)[:1].reshape(
            1, 2
        ),
        "predicted_iou": float(annotation.get("predicted_iou", np.nan)),
        "segmentation": {
            "counts": counts if isinstance(counts, str) else compress_counts(counts),
            "size": [height, width],
        },
        "stability_score": float(annotation.get("stability_score", np.nan)),
    }


def _normalise_box(box_xywh: Any, size: tuple[int, int]) -> np.ndarray:
    """Top, left, bottom and right of a box as shares of the photo's sides."""
    x, y, width, height = box_xywh
    sides = np.array([size[0], size[1], size[0], size[1]], np.float64)
    box = np.array([y, x, y + height, x + width]) / sides
    if not np.isfinite(box).all() or min(width, height) < 0:
        raise ValueError(f"{box_xywh} is not a box of x, y, width and height")
    return np.clip(box, 0, 1)
