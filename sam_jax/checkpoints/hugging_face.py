"""Folders that `transformers.SamModel.save_pretrained` writes."""

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import numpy as np

from sam_jax.checkpoints.names import official_names
from sam_jax.checkpoints.safetensors_file import read_safetensors
from sam_jax.checkpoints.tensors import Tensor, Tensors
from sam_jax.models import SamConfig
from sam_jax.types import CheckpointError

_SUPPORTED = {
    "vision_config": {
        "use_abs_pos": True,
        "use_rel_pos": True,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    },
    "prompt_encoder_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-6},
    "mask_decoder_config": {"hidden_act": "relu", "attention_downsample_rate": 2},
}
"""Choices that shapes don't show and that every published model shares."""


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by official names, and config.json.

    Raises:
        CheckpointError: The folder holds no `SamModel`, a file is absent or damaged, or the model makes a choice that
            no official model makes.
    """
    description = _read_json(folder / "config.json")
    if description.get("model_type") != "sam":
        raise CheckpointError(
            f"{folder} holds a model of type {description.get('model_type')!r}, not 'sam'"
        )
    for section, choices in _SUPPORTED.items():
        for name, value in choices.items():
            found = (description.get(section) or {}).get(name, value)
            if found != value:
                raise CheckpointError(
                    f"{folder / 'config.json'}: {section} has {name} {found!r}, only {value!r} is supported"
                )
    tensors: dict[str, Tensor] = {}
    for file in _find_files(folder):
        tensors.update(read_safetensors(file)[0])
    return rename(folder, tensors), description


def _find_files(folder: Path) -> list[Path]:
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.exists():
        return [whole]
    if not index.exists():
        raise CheckpointError(
            f"{folder} has a config.json but no model.safetensors; save it again with safetensors"
        )
    files = sorted(set(_read_json(index).get("weight_map", {}).values()))
    for file in files:
        if file != Path(file).name or not (folder / file).is_file():
            raise CheckpointError(f"{index}: no file {file} in this folder")
    return [folder / file for file in files]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    for name, part in value.items():
        if (name.endswith("_config") or name == "weight_map") and not isinstance(
            part, dict | types.NoneType
        ):
            raise CheckpointError(f"{path}: {name} is not a JSON object")
    if not all(isinstance(file, str) for file in (value.get("weight_map") or {}).values()):
        raise CheckpointError(f"{path}: weight_map holds something that is not the name of a file")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def rename(source: Path, tensors: Tensors) -> dict[str, Tensor]:
    """The tensors by official names; tied ones become one.

    Raises:
        CheckpointError: Two tensors that are one in the model differ.
    """
    renamed: dict[str, Tensor] = {}
    for key, name in official_names(tensors).items():
        if name in renamed and not np.array_equal(renamed[name], tensors[key]):
            raise CheckpointError(f"{source}: {key} differs from the tensor that it is tied to")
        renamed[name] = tensors[key]
    return renamed


def complete_config(folder: Path, config: SamConfig, description: dict[str, Any]) -> SamConfig:
    """The configuration measured on tensors, with what config.json knows better.

    Raises:
        CheckpointError: The sizes in config.json are impossible.
    """
    vision = description.get("vision_config") or {}
    decoder = description.get("mask_decoder_config") or {}
    encoder = config.image_encoder
    image_size = vision.get("image_size", encoder.image_size)
    try:
        return dataclasses.replace(
            config,
            image_encoder=dataclasses.replace(
                encoder,
                image_size=(image_size,) * 2 if isinstance(image_size, int) else tuple(image_size),
                num_heads=int(vision.get("num_attention_heads", encoder.num_heads)),
                window_size=int(vision.get("window_size", encoder.window_size)),
                global_blocks=tuple(vision.get("global_attn_indexes", encoder.global_blocks)),
            ),
            mask_decoder=dataclasses.replace(
                config.mask_decoder,
                num_heads=int(decoder.get("num_attention_heads", config.mask_decoder.num_heads)),
            ),
        )
    except (TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
