"""Reading and writing whole models, whatever the file's format."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion, hugging_face
from sam_jax.checkpoints.contents import Contents, read_contents
from sam_jax.checkpoints.recognition import name_variant
from sam_jax.checkpoints.safetensors_file import describe, write_safetensors
from sam_jax.checkpoints.selection import Origin
from sam_jax.checkpoints.tensors import Tensors
from sam_jax.checkpoints.torch_file import write_pth
from sam_jax.models import SamConfig
from sam_jax.storage import locate
from sam_jax.types import CheckpointError, InputError, Variables


def load_checkpoint(
    path: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] | None = None,
    config: SamConfig | None = None,
) -> tuple[SamConfig, Variables]:
    """Weights as float32 NumPy arrays, and the model that they are of.

    Takes PyTorch files of any age, `.safetensors` and Hugging Face folders, with our names, official ones or Hugging
    Face's, behind any prefix and inside any dictionary, as in a training checkpoint. What it is is told from the
    content; `read_origin` says what was taken from where.

    Args:
        path: File or folder of the weights, also in a bucket, or `default` or `drawings` for those that come with this
            package.
        image_size: Input size in pixels, one side or (h, w), that positional tables are interpolated to; the default
            is the size that the file is made for.
        config: The model, where the file leaves it open; the default is to recognise it.

    Raises:
        CheckpointError: The file is damaged, unsafe, or not the weights of a Segment Anything; the message tells all
            that doesn't fit.
        InputError: `image_size` is not a multiple of the patch size.
    """
    config, leaves = _open(locate(path), image_size, config)
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
    return _open(locate(path), image_size, None)[0]


def read_origin(path: str | os.PathLike) -> Origin:
    """What `load_checkpoint` takes from a file, and what it leaves there.

    Raises:
        CheckpointError: The file is damaged, or no file of tensors.
    """
    return read_contents(locate(path)).origin


def save_checkpoint(path: str | os.PathLike, config: SamConfig, variables: Variables) -> None:
    """Write weights, in the dtypes they have; the file appears when it is complete.

    Args:
        path: File that ends in `.safetensors` for our own format, in `.pth` for official names that PyTorch's tools
            load; a folder, or a name without an ending, for Hugging Face's format.
        config: Sizes of the model.
        variables: Weights of the model.

    Raises:
        InputError: The ending is another one, or the format has no place for the model: for additions or text prompts,
            which official PyTorch lacks, or in Hugging Face's for inputs that are not square.
        CheckpointError: The weights don't fit the model.
        RunError: The disk refuses the file.
    """
    _check_format(locate(path), config)
    leaves = conversion.flatten(variables)
    leaves = conversion.check_tensors(
        path, name_variant(config), leaves, conversion.leaf_shapes(config)
    )
    _write(locate(path), config, leaves)


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
    config, leaves = _open(locate(source), image_size, config)
    _check_format(locate(destination), config)
    _write(locate(destination), config, conversion.cast(leaves, dtype))
    return config


def _open(
    path: Path, image_size: int | tuple[int, int] | None, config: SamConfig | None
) -> tuple[SamConfig, Tensors]:
    """Leaves that still lie in the file; each is checked when it is read, which is once."""
    contents = read_contents(path)
    if contents.stored is None:
        fitting, leaves = _recognise(path, contents, config)
    else:
        size = contents.stored.image_encoder.image_size
        fitting = contents.stored if config is None else config.with_image_size(size)
        conversion.check_depths(path, contents.tensors, fitting)
        leaves = conversion.check_tensors(
            path, name_variant(fitting), contents.tensors, conversion.leaf_shapes(fitting)
        )
    leaves = conversion.cast(leaves, "float32")
    if image_size is None:
        image_size = (config or fitting).image_encoder.image_size
    wanted = (image_size, image_size) if isinstance(image_size, int) else image_size
    if wanted != fitting.image_encoder.image_size:
        leaves = conversion.resize_positions(leaves, fitting, wanted)
    return fitting.with_image_size(wanted), leaves


def _recognise(
    path: Path, contents: Contents, config: SamConfig | None
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
        return fitting, conversion.check_tensors(
            path, name_variant(fitting), contents.tensors, expected
        )
    state = conversion.check_tensors(
        path, name_variant(fitting), state, conversion.official_shapes(fitting)
    )
    return fitting, conversion.official_to_leaves(state)


def _check_format(path: Path, config: SamConfig) -> None:
    is_folder = _is_folder(path)
    if not is_folder and path.suffix not in (".pth", ".safetensors"):
        raise InputError(
            f"cannot tell the format of {path}: a file ends in .safetensors or .pth, and a folder for Hugging Face has "
            "no ending"
        )
    if path.suffix != ".safetensors" and config.fine is not None:
        raise InputError(
            f"{path}: official PyTorch has no place for what these weights add to Segment Anything; "
            "write them as .safetensors"
        )
    if path.suffix != ".safetensors" and config.prompt_encoder.text_width is not None:
        raise InputError(
            f"{path}: official PyTorch has no place for the text projection; write these weights as .safetensors"
        )
    if is_folder:
        hugging_face.check_writable(path, config)


def _is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix


def _write(path: Path, config: SamConfig, leaves: Tensors) -> None:
    if _is_folder(path):
        hugging_face.write_folder(path, config, conversion.leaves_to_official(leaves))
    elif path.suffix == ".pth":
        write_pth(path, conversion.leaves_to_official(leaves))
    else:
        write_safetensors(path, leaves, describe(config))
