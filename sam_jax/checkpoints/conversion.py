"""Between tensors by their official names and leaves of our tree, one tensor at a time, after checking all of them."""

import os
from collections.abc import Iterable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sam_jax.checkpoints.clip_names import find_clip_prefix, refuse_clip
from sam_jax.checkpoints.names import (
    SAM_NAMES,
    Naming,
    rearrange,
    rearranged_shape,
    translate_path,
)
from sam_jax.checkpoints.recognition import (
    Shapes,
    candidates,
    name_relative,
    name_variant,
    read_image_size,
    read_patch_size,
)
from sam_jax.checkpoints.tensors import LazyTensor, Tensor, Tensors
from sam_jax.checkpoints.vit import find_vit, refuse_as_sam
from sam_jax.models import SamConfig, abstract_variables
from sam_jax.models.config import PATCH_SIZE
from sam_jax.ops.resize import bilinear_matrix
from sam_jax.types import CheckpointError, Variables

_NAMES_SHOWN = 5


def flatten(variables: Variables) -> dict[str, Any]:
    """Leaves by their paths, `params/image_encoder/pos_embed` and so on."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree.leaves_with_path(variables)
    }


@cache
def leaf_shapes(config: SamConfig) -> Shapes:
    """Shapes of our tree's leaves by their paths."""
    leaves = flatten(abstract_variables(config))
    return MappingProxyType({path: leaf.shape for path, leaf in leaves.items()})


def official_shapes(config: SamConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of an official state dict."""
    shapes = {}
    for path, shape in leaf_shapes(config).items():
        name = translate_path(path)
        shapes[name.key] = rearranged_shape(shape, name.path_axes, name.key_axes)
    return shapes


def leaves_to_official(leaves: Tensors, names: Naming = SAM_NAMES) -> dict[str, LazyTensor]:
    """Our leaves under official names, in official layouts, in the dtypes they have."""
    state = {}
    for path, leaf in leaves.items():
        name = names.translate_path(path)
        state[name.key] = _rearranged(leaf, name.path_axes, name.key_axes)
    return state


def official_to_leaves(state: Tensors, names: Naming = SAM_NAMES) -> dict[str, LazyTensor]:
    """Tensors under official names as our leaves, in the dtypes they have."""
    leaves = {}
    for key, tensor in state.items():
        name = names.translate_key(key)
        leaves[name.path] = _rearranged(tensor, name.key_axes, name.path_axes)
    return leaves


def rename_leaves(leaves: Tensors) -> dict[str, Tensor]:
    """Like `leaves_to_official`, but what isn't a leaf of ours keeps its name and shape."""
    state: dict[str, Tensor] = {}
    for path, leaf in leaves.items():
        try:
            state |= leaves_to_official({path: leaf})
        except (KeyError, ValueError):
            state[path] = leaf
    return state


def _rearranged(tensor: Tensor, source: str, target: str) -> LazyTensor:
    return LazyTensor(
        rearranged_shape(tensor.shape, source, target),
        np.dtype(tensor.dtype),
        lambda: rearrange(np.asarray(tensor), source, target),
    )


def find_config(source: str | os.PathLike, state: Tensors, config: SamConfig | None) -> SamConfig:
    """The model whose weights these are; `config`, if given, at the image size that the file is made for.

    Args:
        source: File of the weights, for messages.
        state: Tensors by their official names.
        config: The model, where it is known.

    Raises:
        CheckpointError: The weights are not of a Segment Anything, or of one with another size of patches.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    if find_clip_prefix(shapes):
        raise refuse_clip(source)
    if relative := name_relative(shapes):
        raise CheckpointError(
            f"{source} holds {relative}, a relative of Segment Anything, which is not supported"
        )
    if vit := find_vit(state):
        raise refuse_as_sam(source, vit)
    if not any(key.startswith("image_encoder.") for key in shapes):
        raise CheckpointError(
            f"{source} is not a Segment Anything checkpoint: no key starts with image_encoder. "
            f"(the first is {next(iter(shapes), 'absent')})"
        )
    if (patch_size := read_patch_size(shapes)) not in (None, PATCH_SIZE):
        raise CheckpointError(
            f"{source} has patches of {patch_size} pixels; only the {PATCH_SIZE} of published models are supported"
        )
    if config is not None:
        check_depths(source, state, config)
        image_size = read_image_size(shapes)
        return config.with_image_size(image_size) if image_size else config
    found = None
    for candidate in candidates(shapes):
        misfits = sum(map(len, _compare(shapes, official_shapes(candidate))))
        if found is None or misfits < found[0]:
            found = misfits, candidate
        if not misfits:
            break
    assert found is not None
    _check_encoder(source, shapes, found[1])
    return found[1]


def check_depths(source: str | os.PathLike, tensors: Tensors, config: SamConfig) -> None:
    """A stored configuration can ask for any number of layers; each has tensors, so the file bounds them.

    Raises:
        CheckpointError: The file has fewer tensors than the configuration has layers.
    """
    decoder = config.mask_decoder
    layers = config.image_encoder.depth + decoder.depth + decoder.iou_head_depth
    if layers + decoder.num_multimask_outputs > len(tensors):
        raise CheckpointError(
            f"{source} does not fit {name_variant(config)}: it has no more than {len(tensors)} tensors"
        )


def _check_encoder(source: str | os.PathLike, shapes: Shapes, config: SamConfig) -> None:
    """Relatives of the model share its decoder: a list of hundreds of keys would not say what they are."""
    expected = [key for key in official_shapes(config) if key.startswith("image_encoder.")]
    present = sum(key in shapes for key in expected)
    if 2 * present < len(expected):
        raise CheckpointError(
            f"{source} is not a Segment Anything checkpoint: its image encoder is another one, with {present} of "
            f"the {len(expected)} tensors of {name_variant(config)}"
        )


def check_tensors(
    source: str | os.PathLike, model: str, tensors: Tensors, expected: Shapes
) -> dict[str, LazyTensor]:
    """The tensors, after a comparison of their names, shapes and dtypes; each is checked for NaN when it is read.

    Args:
        source: File of the weights, for messages.
        model: Name of the model that the weights have to fit, for messages.
        tensors: Tensors by name.
        expected: Shapes by name.

    Raises:
        CheckpointError: Tensors are missing, unexpected, misshapen or not floating-point; one line tells all. Reading a
            tensor with NaN or infinity raises it too, with the names of all such tensors.
    """
    missing, unexpected, misshapen = _compare(
        {name: tuple(tensor.shape) for name, tensor in tensors.items()}, expected
    )
    right = [name for name in expected if name in tensors and name not in misshapen]
    problems = {
        "missing": missing,
        "unexpected": unexpected,
        "misshapen": [
            f"{name}: {_sides(tensors[name].shape)} instead of {_sides(expected[name])}"
            for name in misshapen
        ],
        "not floating-point": [
            f"{name}: {tensors[name].dtype}"
            for name in right
            if not jnp.issubdtype(tensors[name].dtype, jnp.floating)
        ],
    }
    if any(problems.values()):
        raise _misfit(source, model, problems)

    def read(name: str) -> np.ndarray:
        array = np.asarray(tensors[name])
        if not _is_finite(array):
            broken = [other for other in expected if not _is_finite(np.asarray(tensors[other]))]
            raise _misfit(source, model, {"with NaN or infinity": broken})
        return array

    return {
        name: LazyTensor(tuple(tensor.shape), np.dtype(tensor.dtype), partial(read, name))
        for name, tensor in tensors.items()
    }


def _misfit(
    source: str | os.PathLike, model: str, problems: Mapping[str, list[str]]
) -> CheckpointError:
    told = [f"{len(names)} {kind} ({_list(names)})" for kind, names in problems.items() if names]
    return CheckpointError(f"{source} does not fit {model}: {', '.join(told)}")


def _compare(shapes: Shapes, expected: Shapes) -> tuple[list[str], list[str], list[str]]:
    missing = [name for name in expected if name not in shapes]
    unexpected = [name for name in shapes if name not in expected]
    misshapen = [name for name in expected if name in shapes and shapes[name] != expected[name]]
    return missing, unexpected, misshapen


def _is_finite(array: np.ndarray) -> bool:
    with np.errstate(over="ignore"):  # a double that float32 cannot hold becomes infinite
        return bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _sides(shape: Iterable[int]) -> str:
    return "(" + ",".join(map(str, shape)) + ")"


def _list(names: list[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f", and {rest} more" if rest > 0 else "")


def resize_positions(leaves: Tensors, config: SamConfig, image_size: tuple[int, int]) -> Tensors:
    """float32 leaves for another input size (h, w): positional tables interpolated, all else as it is.

    Absolute positions are interpolated bilinearly over the grid, the relative ones of global blocks linearly, as the
    official code does when a table's length is not its grid's. Windows keep their size and their tables.
    """
    old = config.image_encoder.grid
    new = config.with_image_size(image_size).image_encoder.grid
    down, across = (bilinear_matrix(*sides) for sides in zip(old, new, strict=True))
    table = leaves["params/image_encoder/pos_embed"]
    resized = {
        "params/image_encoder/pos_embed": LazyTensor(
            (*new, table.shape[-1]),
            np.dtype(np.float32),
            lambda: np.einsum("ab,bcd,ec->aed", down, np.asarray(table), across, optimize=True),
        )
    }
    for block in config.image_encoder.global_blocks:
        for axis, name in enumerate(("rel_pos_h", "rel_pos_w")):
            path = f"params/image_encoder/blocks_{block}/attn/{name}"
            resized[path] = _resize_table(leaves[path], 2 * new[axis] - 1)
    return {**leaves, **resized}


def _resize_table(table: Tensor, length: int) -> LazyTensor:
    matrix = bilinear_matrix(table.shape[0], length)
    return LazyTensor(
        (length, table.shape[1]), np.dtype(np.float32), lambda: matrix @ np.asarray(table)
    )


def cast(leaves: Tensors, dtype: str) -> dict[str, LazyTensor]:
    """The leaves in another dtype: float32, float16 or bfloat16; models have float32."""
    target = np.dtype(jnp.dtype(dtype))
    return {
        path: LazyTensor(
            tuple(leaf.shape), target, lambda leaf=leaf: np.asarray(leaf).astype(target, copy=False)
        )
        for path, leaf in leaves.items()
    }
