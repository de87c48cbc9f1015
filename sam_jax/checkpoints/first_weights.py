"""Weights for training to start from: of a whole Segment Anything, or of a plain ViT that becomes its image encoder.

Sources: [ViTDet](https://arxiv.org/abs/2203.16527), section 3, whose authors start from masked autoencoders with
positions resized bicubically, new relative positions, and ViT-H's patches of 14 pixels interpolated to 16;
[Segment Anything](https://arxiv.org/abs/2304.02643), appendix A.
"""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion
from sam_jax.checkpoints.contents import Stored, read_stored
from sam_jax.checkpoints.load import load_checkpoint
from sam_jax.checkpoints.mae import read_grid
from sam_jax.checkpoints.names import rearranged_shape, translate_path
from sam_jax.checkpoints.recognition import name_variant
from sam_jax.checkpoints.selection import summarise_names
from sam_jax.checkpoints.tensors import LazyTensor, Tensor
from sam_jax.checkpoints.vit import PlainVit, find_vit
from sam_jax.models import ImageEncoderConfig, SamConfig, init_variables
from sam_jax.ops.resize import bilinear_matrix, cubic_matrix
from sam_jax.storage import locate
from sam_jax.types import CheckpointError, InputError, Variables

_ENCODER = "image_encoder."
_IN_ENCODER = re.compile(
    r"(blocks|patch_embed|neck|norm_pre|reg_token|register_tokens|pos_embed)(\..*)?"
)
"""What makes the tokens; what else a ViT has, such as a class token, a last norm or heads, is dropped."""
_FRESH_TOGETHER = (r".*\.neck\..*", r".*\.rel_pos_[hw]")
"""Tensors that a file lacks all together, or none of them."""
_INTERPOLATED_PATCH = 14
"""Side in pixels of the patches of the masked autoencoder's ViT-H."""


class Account(NamedTuple):
    """What became of each tensor of a file of weights, and of each leaf of the model.

    Attributes:
        kind: What the file holds: a kind of plain ViT, or a Segment Anything.
        taken: Names in the file of the tensors that were taken.
        resized: Texts that say what was interpolated on the way.
        dropped: Names in the file of the tensors that were not taken.
        dropped_parts: Modules that those are of, by public names.
        fresh: Paths of leaves that the file has nothing for: random, or zero for relative positions.
    """

    kind: str
    taken: tuple[str, ...]
    resized: tuple[str, ...]
    dropped: tuple[str, ...]
    dropped_parts: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            f"took {len(self.taken)} of {len(self.taken) + len(self.dropped)} tensors of {self.kind}"
        ]
        if self.resized:
            parts.append(f"resized {', '.join(self.resized)}")
        if self.dropped:
            parts.append(f"dropped {', '.join(self.dropped_parts)}")
        if self.fresh:
            parts.append(f"left fresh {', '.join(_summarise_paths(self.fresh))}")
        return "; ".join(parts)


def load_first_weights(
    path: str | os.PathLike, config: SamConfig, seed: int = 0
) -> tuple[Variables, Account | None]:
    """Weights of a model for training to start from, as float32 NumPy arrays, and what was taken from where.

    Args:
        path: File or folder of the weights of a whole Segment Anything, or of a plain ViT: a masked autoencoder,
            ViTDet, DINO, an image encoder alone.
        config: The model.
        seed: Seed of the weights that the file has nothing for.

    Returns:
        Weights of the whole model, and the account of what is not from the file: of a plain ViT, or of a Segment
            Anything without the text projection that the config has. None where all is from the file.

    Raises:
        CheckpointError: The file is damaged, unsafe, or does not fit the model; the message tells all that doesn't fit.
        InputError: The file is a Segment Anything, but not the config's.
    """
    path = locate(path)
    stored = read_stored(path)
    if vit := find_vit(stored.tensors):
        return _load_encoder(path, stored, vit, config, seed)
    model, variables = load_checkpoint(path, image_size=config.image_encoder.image_size)
    if config != model == _without_text(config):
        return _add_projection(stored, variables, config, seed)
    if model != config:
        raise InputError(
            f"start_from: {path} is {name_variant(model)}, but the config's model is "
            f"{name_variant(config)}: {_first_difference(model, config)}"
        )
    return variables, None


def _without_text(config: SamConfig) -> SamConfig:
    return replace(config, prompt_encoder=replace(config.prompt_encoder, text_width=None))


def _add_projection(
    stored: Stored, variables: Variables, config: SamConfig, seed: int
) -> tuple[Variables, Account]:
    """The weights of an ordinary Segment Anything, with a text projection that starts at random."""
    leaves = conversion.flatten(variables)
    fresh = conversion.flatten(init_variables(config, seed))
    fresh = {path: leaf for path, leaf in fresh.items() if path not in leaves}
    account = Account(
        kind="a Segment Anything",
        taken=tuple(stored.tensors),
        resized=(),
        dropped=(),
        dropped_parts=(),
        fresh=tuple(fresh),
    )
    return unflatten_dict({**leaves, **fresh}, sep="/"), account


def _first_difference(one: Any, other: Any) -> str:
    for field in fields(one):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if mine == its:
            continue
        if is_dataclass(mine) and is_dataclass(its):
            return f"{field.name}.{_first_difference(mine, its)}"
        return f"{field.name} is {mine} in one and {its} in the other"
    return "nothing"


def _load_encoder(
    path: Path, stored: Stored, vit: PlainVit, config: SamConfig, seed: int
) -> tuple[Variables, Account]:
    encoder = config.image_encoder
    _check_sizes(path, stored, vit, encoder)
    wanted = _encoder_shapes(config)
    names = {_official_key(name): name for name in vit.tensors if _IN_ENCODER.fullmatch(name)}
    state = {key: vit.tensors[name] for key, name in names.items()}
    for group in _FRESH_TOGETHER:
        if not any(re.fullmatch(group, key) for key in state):
            wanted = {key: shape for key, shape in wanted.items() if not re.fullmatch(group, key)}
    changes = {
        key: change
        for key, tensor in state.items()
        if key in wanted
        and tuple(tensor.shape) != wanted[key]
        and (change := _plan_change(path, stored, key, tensor, wanted[key], encoder))
    }
    expected = wanted | {key: tuple(state[key].shape) for key in changes}
    model = f"the image encoder of {name_variant(config)}"
    checked = conversion.cast(conversion.check_tensors(path, model, state, expected), "float32")
    for key, change in changes.items():
        checked[key] = LazyTensor(
            wanted[key], np.dtype(np.float32), partial(change.apply, checked[key])
        )
    leaves = conversion.official_to_leaves(checked)
    fresh = conversion.flatten(init_variables(config, seed))
    variables = fresh | {path: np.ascontiguousarray(leaf) for path, leaf in leaves.items()}
    taken = {raw for key in state for raw in vit.sources[names[key]]}
    of_vit = {raw for raws in vit.sources.values() for raw in raws}
    beside = [raw for raw in stored.tensors if raw not in of_vit]
    parts = [name.split(".")[0] for name in vit.tensors if not _IN_ENCODER.fullmatch(name)]
    account = Account(
        kind=vit.kind,
        taken=tuple(raw for raw in stored.tensors if raw in taken),
        resized=tuple(dict.fromkeys(filter(None, (change.told for change in changes.values())))),
        dropped=tuple(raw for raw in stored.tensors if raw not in taken),
        dropped_parts=tuple(dict.fromkeys(parts + summarise_names(beside, vit.prefix))),
        fresh=tuple(path for path in fresh if path not in leaves),
    )
    return unflatten_dict(variables, sep="/"), account


def _official_key(name: str) -> str:
    return _ENCODER + re.sub(r"\.mlp\.fc(\d)\.", r".mlp.lin\1.", name)


def _encoder_shapes(config: SamConfig) -> dict[str, tuple[int, ...]]:
    """Official keys and shapes of the image encoder, without what the small model adds to it."""
    shapes = {}
    for path, shape in conversion.leaf_shapes(replace(config, fine=None)).items():
        if path.startswith("params/image_encoder/"):
            name = translate_path(path)
            shapes[name.key] = rearranged_shape(shape, name.path_axes, name.key_axes)
    return shapes


def _check_sizes(path: Path, stored: Stored, vit: PlainVit, encoder: ImageEncoderConfig) -> None:
    """Sizes that hundreds of tensors depend on: a list of them all would not say what is wrong."""
    kernel = tuple(vit.tensors["patch_embed.proj.weight"].shape)
    if len(kernel) != 4 or (kernel[0], vit.depth) != (encoder.width, encoder.depth):
        raise CheckpointError(
            f"{path} holds {vit.kind}, of width {kernel[0] if kernel else 0} and depth {vit.depth}; the config's image "
            f"encoder has width {encoder.width} and depth {encoder.depth}"
        )
    if kernel[2:] not in ((side, side) for side in (encoder.patch_size, _INTERPOLATED_PATCH)):
        raise CheckpointError(
            f"{path} holds {vit.kind}, with patches of {kernel[2]}x{kernel[3]} pixels; training can start from "
            f"patches of {encoder.patch_size}, or from those of {_INTERPOLATED_PATCH}, which are interpolated"
        )
    about = stored.description or {}
    choices = {"num_attention_heads": encoder.num_heads, "hidden_act": "gelu"}
    for name, value in choices.items():
        if about.get(name, value) != value:
            raise CheckpointError(
                f"{path / 'config.json'}: {name} is {about[name]!r}; the config's image encoder has {value!r}"
            )


class _Change(NamedTuple):
    """How a tensor is brought to another size: matrices along two of its axes, after some leading rows are dropped."""

    told: str
    skipped: int
    grid: tuple[int, ...]
    matrices: tuple[np.ndarray, np.ndarray]

    def apply(self, tensor: Tensor) -> np.ndarray:
        """The tensor in the size that the model wants."""
        array = np.asarray(tensor)
        if array.ndim == 4 and array.shape[1] == 3:  # a kernel
            return np.einsum("ab,oibc,dc->oiad", self.matrices[0], array, self.matrices[1])
        table = array.reshape(1, -1, array.shape[-1])[:, self.skipped :]
        table = table.reshape(*self.grid, array.shape[-1])
        resized = np.einsum("ab,bcd,ec->aed", self.matrices[0], table, self.matrices[1])
        return resized[:, 0] if array.ndim == 2 else resized[None]


def _plan_change(
    path: Path,
    stored: Stored,
    key: str,
    tensor: Tensor,
    wanted: tuple[int, ...],
    encoder: ImageEncoderConfig,
) -> _Change | None:
    """How a tensor of another shape becomes one of the model's; None where no interpolation would do."""
    shape = tuple(tensor.shape)
    if key.endswith("pos_embed") and len(shape) in (3, 4) and shape[-1] == wanted[-1]:
        grid = shape[1:3] if len(shape) == 4 else _find_grid(path, stored, shape[1])
        # Files of a Segment Anything are resized as whole ones are, and others as ViTDet resizes them.
        make = bilinear_matrix if len(shape) == 4 else cubic_matrix
        old, new = ("x".join(map(str, sides)) for sides in (grid, encoder.grid))
        told = f"positions from {old} to {new}" if old != new else ""
        down, across = (make(*sides) for sides in zip(grid, encoder.grid, strict=True))
        return _Change(told, math.prod(shape[1:-1]) - math.prod(grid), grid, (down, across))
    if key.endswith("patch_embed.proj.weight") and shape[:2] == wanted[:2]:
        sides = cubic_matrix(shape[2], wanted[2])
        return _Change(f"patches from {shape[2]} to {wanted[2]} pixels", 0, (), (sides, sides))
    is_global = re.match(rf"{_ENCODER}blocks\.(\d+)\.attn\.rel_pos_", key)
    if is_global and int(is_global[1]) in encoder.global_blocks and shape[1:] == wanted[1:]:
        matrix = bilinear_matrix(shape[0], wanted[0])
        told = "relative positions of global blocks"
        return _Change(told, 0, (shape[0], 1), (matrix, np.ones((1, 1), np.float32)))
    return None


def _find_grid(path: Path, stored: Stored, places: int) -> tuple[int, int]:
    """Places down and across of a list of positions, which may begin with that of a class token."""
    described = read_grid(path, stored)
    if described is not None and 0 <= places - math.prod(described) <= 1:
        return described
    for leading in (0, 1):
        side = math.isqrt(max(places - leading, 0))
        if side and side * side == places - leading:
            return side, side
    raise CheckpointError(
        f"{path} has {places} positions, which is no square grid with or without a class token"
    )


def _summarise_paths(paths: Iterable[str]) -> list[str]:
    """Parts of the model, once each, and of the encoder what is in it."""
    told = []
    for path in paths:
        _, part, *rest = path.split("/")
        if "text_projection" in rest:
            part = f"{part}/text_projection"
        if part == "image_encoder":
            part = f"{part}/{rest[-1] if rest[-1].startswith('rel_pos') else rest[0]}"
        told.append(part)
    return list(dict.fromkeys(told))
