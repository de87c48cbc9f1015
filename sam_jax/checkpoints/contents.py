"""What a file or folder of weights holds, whatever its format, before anything is known of the model."""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sam_jax.checkpoints import hugging_face
from sam_jax.checkpoints.safetensors_file import read_description, read_safetensors
from sam_jax.checkpoints.selection import Origin, select
from sam_jax.checkpoints.tensors import Tensors
from sam_jax.checkpoints.torch_file import START_BYTES, ZIP_MAGIC, is_old_file, open_pth
from sam_jax.checkpoints.vit import find_vit, refuse_as_sam
from sam_jax.models import SamConfig
from sam_jax.storage import exists, to_local
from sam_jax.types import CheckpointError

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny.safetensors"
"""What comes with this package; MODEL_CARD.md beside it says how it was made and what it is good for."""

SHIPPED_CLIP_FOLDER = Path(__file__).parents[1] / "weights" / "drawings"
"""The small CLIP of drawings that comes with this package; MODEL_CARD.md in it tells of it."""

SHIPPED = "default"
"""The name of the weights that come with this package, wherever a checkpoint is named."""

DRAWINGS = "drawings"
"""The name of what knows drawings and comes with this package: a CLIP, and weights that take text by it."""

SHIPPED_FILES = {
    SHIPPED: SHIPPED_WEIGHTS,
    DRAWINGS: SHIPPED_WEIGHTS.with_name("drawings.safetensors"),
}
"""All weights of a Segment Anything that come with this package, by their names."""


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: All tensors, by the names that they have in the file.
        others: What else the file holds.
        metadata: Metadata of a safetensors file.
        description: Content of config.json in a Hugging Face folder.
    """

    tensors: Tensors
    others: tuple[str, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})
    description: dict[str, Any] | None = None


class Contents(NamedTuple):
    """The Segment Anything of a file.

    Attributes:
        tensors: Tensors by official names, or by our paths.
        ours: Whether the names are our paths.
        stored: The model, as our own files tell it.
        description: Content of config.json in a Hugging Face folder.
        origin: What was taken from the file, and what was not.
    """

    tensors: Tensors
    ours: bool = False
    stored: SamConfig | None = None
    description: dict[str, Any] | None = None
    origin: Origin = Origin()


def read_stored(path: Path) -> Stored:
    """Open a file or folder; tensors are read when they are asked for.

    Raises:
        CheckpointError: There is no such file, it cannot be read, or it is no file of tensors.
    """
    path = SHIPPED_FILES.get(str(path), path)
    try:
        path = to_local(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not exists(path):
        raise CheckpointError(f"no such file: {path}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(
                f"{path} is a folder without config.json; name the checkpoint file inside it"
            )
        tensors, description = hugging_face.read_folder(path)
        return Stored(tensors, description=description)
    if not path.is_file():
        raise CheckpointError(f"{path} is a pipe or a device, not a file")
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise CheckpointError(f"{path} is empty")
    if start.startswith(ZIP_MAGIC) or is_old_file(start):
        return Stored(*open_pth(path))
    if start[8:9] == b"{":
        tensors, metadata = read_safetensors(path)
        return Stored(tensors, metadata=metadata)
    if tarfile.is_tarfile(path):
        raise CheckpointError(
            f"{path} is a tar archive, as PyTorch wrote before 0.1.10; load it in an old PyTorch and save it again"
        )
    raise CheckpointError(
        f"{path} is not a checkpoint: neither a PyTorch file (.pth) nor safetensors"
    )


def read_contents(path: Path) -> Contents:
    """The Segment Anything of a file or folder, or what is most like one.

    Raises:
        CheckpointError: The file is damaged, or no file of tensors, or a Hugging Face folder of another model.
    """
    return find_sam(path, read_stored(path))


def find_sam(path: Path, stored: Stored) -> Contents:
    """The Segment Anything among what a file holds, or what is most like one.

    Args:
        path: File or folder, for messages.
        stored: What it holds.

    Raises:
        CheckpointError: A Hugging Face folder is of another model, or makes a choice that no official model makes.
    """
    if stored.description is not None:
        if vit := find_vit(stored.tensors):
            raise refuse_as_sam(path, vit)
        hugging_face.check_description(path, stored.description)
    config = read_description(path, stored.metadata)
    if config or any(name.startswith("params/") for name in stored.tensors):
        return Contents(stored.tensors, ours=True, stored=config)
    chosen, origin = select(stored.tensors, stored.others)
    description = stored.description
    if any(name.startswith(hugging_face.ENCODER) for name in chosen):
        chosen = hugging_face.rename(path, chosen)
        if description is None:
            description = hugging_face.read_config_beside(path)
    return Contents(chosen, description=description, origin=origin)
