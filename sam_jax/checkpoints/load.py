"""Reading and writing whole models, whatever the file's format."""

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion, hugging_face
from sam_jax.checkpoints.safetensors_file import (
    describe,
    read_description,
    read_safetensors,
    write_safetensors,
)
from sam_jax.checkpoints.tensors import Tensors
from sam_jax.checkpoints.torch_file import ZIP_MAGIC, open_pth, write_pth
from sam_jax.models import SamConfig
from sam_jax.types import CheckpointError, InputError, Variables

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny.safetensors"
"""What comes with this package; MODEL_CARD.md beside it says how it was made and what it is good for."""

SHIPPED = "default"
"""The name of the weights that come with this package, wherever a checkpoint is named."""

_OLD_TORCH_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_PARALLEL_PREFIX = "module."


def load_checkpoint(
    path: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] | None = None,
    config: SamConfig | None = None,
) -> tuple[SamConfig, Variables]:
    """Weights as float32 NumPy arrays, and the model that they are of.

    Takes official `.pth` files (or a training checkpoint with such a state dict inside), `.safetensors` of ours, with
    official names or with Hugging Face's, and Hugging Face folders. What it is is told from the content.

    Args:
        path: File or folder of the weights, or `default` for those that come with this package.
        image_size: Input size in pixels, one side or (h, w), that positional tables are interpolated to; the default
            is the size that the file is made for.
        config: The model, where the file leaves it open; the default is to recognise it.

    Raises:
        CheckpointError: The file is damaged, unsafe, or not the weights of a Segment Anything; the message tells all
            that doesn't fit.
        InputError: `image_size` is not a multiple of the patch size.
    """
    config, leaves = _open(Path(path), image_size, config)
    variables = {path: np.ascontiguousarray(leaf) for path, leaf in leaves.items()}
    return config, unflatten_dict(variables, sep="/")


def read_config(
    path: str | os.PathLike, *, image_size: int | tuple[int, int] | None = None
) -> SamConfig:
    """The model that weights are of, as `load_checkpoint` finds it, from names and shapes alone.

    Raises:
        CheckpointError: The file is damaged, unsafe, or not the weights of a Segment Anything.
        InputError: `image_size` is not a multiple of the patch size.
    """
    return _open(Path(path), image_size, None)[0]


def save_checkpoint(path: str | os.PathLike, config: SamConfig, variables: Variables) -> None:
    """Write weights, in the dtypes they have; the file appears when it is complete.

    Args:
        path: File that ends in `.safetensors` for our own format, in `.pth` for official names that PyTorch's tools
            load.
        config: Sizes of the model.
        variables: Weights of the model.

    Raises:
        InputError: The ending is another one, or it is `.pth` and the model has additions that official PyTorch lacks.
        CheckpointError: The weights don't fit the model.
        RunError: The disk refuses the file.
    """
    _check_format(Path(path), config)
    leaves = conversion.flatten(variables)
    leaves = conversion.check_tensors(path, config, leaves, conversion.leaf_shapes(config))
    _write(Path(path), config, leaves)


def convert_checkpoint(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] | None = None,
    config: SamConfig | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
) -> SamConfig:
    """What `save_checkpoint` would write after `load_checkpoint`, with one tensor in memory at a time.

    Half the bytes, float16 or bfloat16, are for keeping: what loads them computes with float32 again.
    """
    config, leaves = _open(Path(source), image_size, config)
    _check_format(Path(destination), config)
    _write(Path(destination), config, conversion.cast(leaves, dtype))
    return config


class _Contents(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: Tensors by official names, or by our paths.
        ours: Whether the names are our paths.
        stored: The model, as our own files tell it.
        description: Content of config.json in a Hugging Face folder.
    """

    tensors: Tensors
    ours: bool = False
    stored: SamConfig | None = None
    description: dict[str, Any] | None = None


def _open(
    path: Path, image_size: int | tuple[int, int] | None, config: SamConfig | None
) -> tuple[SamConfig, Tensors]:
    """Leaves that still lie in the file; each is checked when it is read, which is once."""
    contents = _read(SHIPPED_WEIGHTS if str(path) == SHIPPED else path)
    if contents.stored is None:
        fitting, leaves = _recognise(path, contents, config)
    else:
        size = contents.stored.image_encoder.image_size
        fitting = contents.stored if config is None else config.with_image_size(size)
        conversion.check_depths(path, contents.tensors, fitting)
        leaves = conversion.check_tensors(
            path, fitting, contents.tensors, conversion.leaf_shapes(fitting)
        )
    leaves = conversion.cast(leaves, "float32")
    if image_size is None:
        image_size = (config or fitting).image_encoder.image_size
    wanted = (image_size, image_size) if isinstance(image_size, int) else image_size
    if wanted != fitting.image_encoder.image_size:
        leaves = conversion.resize_positions(leaves, fitting, wanted)
    return fitting.with_image_size(wanted), leaves


def _recognise(
    path: Path, contents: _Contents, config: SamConfig | None
) -> tuple[SamConfig, Tensors]:
    """The model of a file that doesn't tell it, and its leaves."""
    if config is not None and config.fine is not None:
        raise CheckpointError(
            f"{path} holds a Segment Anything; a model with additions lies in a .safetensors of this package, "
            "which tells its sizes"
        )
    state = conversion.rename_leaves(contents.tensors) if contents.ours else contents.tensors
    fitting = conversion.find_config(path, state, config)
    if config is None and contents.description is not None:
        fitting = hugging_face.complete_config(path, fitting, contents.description)
    if contents.ours:
        expected = conversion.leaf_shapes(fitting)
        return fitting, conversion.check_tensors(path, fitting, contents.tensors, expected)
    state = conversion.check_tensors(path, fitting, state, conversion.official_shapes(fitting))
    return fitting, conversion.official_to_leaves(state)


def _read(path: Path) -> _Contents:
    if not os.path.exists(path):
        raise CheckpointError(f"no such file: {path}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(
                f"{path} is a folder without config.json; name the checkpoint file inside it"
            )
        tensors, description = hugging_face.read_folder(path)
        return _Contents(tensors, description=description)
    if not path.is_file():
        raise CheckpointError(f"{path} is a pipe or a device, not a file")
    try:
        with path.open("rb") as file:
            start = file.read(len(_OLD_TORCH_MAGIC))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise CheckpointError(f"{path} is empty")
    if start.startswith(ZIP_MAGIC):
        return _Contents(_without_prefix(open_pth(path)))
    if start == _OLD_TORCH_MAGIC:
        raise CheckpointError(
            f"{path} is in the format of PyTorch before 1.6; load it in PyTorch and save it again"
        )
    if start[8:9] == b"{":
        return _read_safetensors(path)
    raise CheckpointError(
        f"{path} is not a checkpoint: neither a PyTorch file (.pth) nor safetensors"
    )


def _read_safetensors(path: Path) -> _Contents:
    tensors, metadata = read_safetensors(path)
    stored = read_description(path, metadata)
    if stored or any(name.startswith("params/") for name in tensors):
        return _Contents(tensors, ours=True, stored=stored)
    if any(name.startswith("vision_encoder.") for name in tensors):
        return _Contents(hugging_face.rename(path, tensors))
    return _Contents(_without_prefix(tensors))


def _without_prefix(tensors: Tensors) -> Tensors:
    """Keys as they are outside `DistributedDataParallel`."""
    if not all(key.startswith(_PARALLEL_PREFIX) for key in tensors):
        return tensors
    return {key.removeprefix(_PARALLEL_PREFIX): tensor for key, tensor in tensors.items()}


def _check_format(path: Path, config: SamConfig) -> None:
    if path.suffix not in (".pth", ".safetensors"):
        raise InputError(f"cannot tell the format of {path}: it ends in .safetensors or .pth")
    if path.suffix == ".pth" and config.fine is not None:
        raise InputError(
            f"{path}: official PyTorch has no place for what these weights add to Segment Anything; "
            "write them as .safetensors"
        )


def _write(path: Path, config: SamConfig, leaves: Tensors) -> None:
    if path.suffix == ".pth":
        write_pth(path, conversion.leaves_to_official(leaves))
    else:
        write_safetensors(path, leaves, describe(config))
