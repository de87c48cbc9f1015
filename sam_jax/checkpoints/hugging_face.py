"""Folders that `transformers.SamModel.save_pretrained` writes and that its `from_pretrained` reads."""

import dataclasses
import json
import re
import types
from pathlib import Path
from typing import Any

import numpy as np

from sam_jax.checkpoints.clip_names import refuse_clip
from sam_jax.checkpoints.names import TIED, hugging_face_names, official_names
from sam_jax.checkpoints.safetensors_file import read_safetensors, write_safetensors
from sam_jax.checkpoints.tensors import LazyTensor, Tensor, Tensors
from sam_jax.checkpoints.torch_file import open_pth
from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.models import SamConfig
from sam_jax.storage import files_together, write_json
from sam_jax.types import CheckpointError, InputError

_SUPPORTED = {
    "vision_config": {
        "use_abs_pos": True,
        "use_rel_pos": True,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    },
    "prompt_encoder_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-6},
    "mask_decoder_config": {
        "hidden_act": "relu",
        "attention_downsample_rate": 2,
        "layer_norm_eps": 1e-6,
    },
}
"""Choices that shapes don't show and that every published model shares."""
_OFFICIAL_EPS = 1e-5
"""What official PyTorch has in the two-way transformer, where Hugging Face's folders say 1e-6."""
ENCODER = "vision_encoder."
"""How the names of an image encoder's tensors begin."""


def read_folder(folder: Path) -> tuple[dict[str, LazyTensor], dict[str, Any]]:
    """Tensors by the names they have there, and config.json, of any model.

    Raises:
        CheckpointError: A file is absent or damaged.
    """
    description = read_json(folder / "config.json")
    tensors: dict[str, LazyTensor] = {}
    for file in _find_files(folder):
        is_safetensors = file.suffix == ".safetensors"
        tensors.update(read_safetensors(file)[0] if is_safetensors else open_pth(file).tensors)
    return tensors, description


def read_config_beside(path: Path) -> dict[str, Any] | None:
    """The config.json in the folder of a file of weights, if it is that of a `SamModel`.

    Raises:
        CheckpointError: The model makes a choice that no official model makes.
    """
    if not (path.parent / "config.json").is_file():
        return None
    description = read_json(path.parent / "config.json")
    if description.get("model_type") != "sam":
        return None
    _check_choices(path.parent, description)
    return description


def check_description(folder: Path, description: dict[str, Any]) -> None:
    """Check that a folder's config.json is that of a `SamModel` which can be built here.

    Raises:
        CheckpointError: It is that of another model, or makes a choice that no official model makes.
    """
    if description.get("model_type") == "clip":
        raise refuse_clip(folder)
    if description.get("model_type") != "sam":
        raise CheckpointError(
            f"{folder} holds a model of type {description.get('model_type')!r}, not 'sam'"
        )
    _check_choices(folder, description)


def _check_choices(folder: Path, description: dict[str, Any]) -> None:
    for section, choices in _SUPPORTED.items():
        for name, value in choices.items():
            found = (description.get(section) or {}).get(name, value)
            is_official = section == "mask_decoder_config" and found == _OFFICIAL_EPS
            if found != value and not (name == "layer_norm_eps" and is_official):
                raise CheckpointError(
                    f"{folder / 'config.json'}: {section} has {name} {found!r}, only {value!r} is supported"
                )


def _find_files(folder: Path) -> list[Path]:
    """The files of a model: whole or in shards, and only if there is none as safetensors, PyTorch's."""
    for stem, ending in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        if (folder / f"{stem}{ending}").is_file():
            return [folder / f"{stem}{ending}"]
        indices = [folder / f"{stem}{ending}.index.json"]
        # Other precisions have their names in the middle: model.fp16.safetensors.
        variants = [
            path
            for path in sorted(folder.glob(f"{stem}.*{ending}"))
            if not re.search(r"-\d+-of-\d+\.", path.name)
        ]
        indices += sorted(folder.glob(f"{stem}{ending}.index.*.json"))
        if index := next((path for path in indices if path.is_file()), None):
            return _find_shards(folder, index)
        if len(variants) > 1:
            raise CheckpointError(
                f"{folder} has {', '.join(path.name for path in variants)}: name the file that is meant"
            )
        if variants:
            return variants
    raise CheckpointError(
        f"{folder} has a config.json but no weights: neither model.safetensors nor pytorch_model.bin"
    )


def _find_shards(folder: Path, index: Path) -> list[Path]:
    files = sorted(set(read_json(index).get("weight_map", {}).values()))
    for file in files:
        if file != Path(file).name or not (folder / file).is_file():
            raise CheckpointError(f"{index}: no file {file} in this folder")
    return [folder / file for file in files]


def read_json(path: Path) -> dict[str, Any]:
    """A file that describes a model.

    Raises:
        CheckpointError: It is absent, or no JSON object with the sections that such files have.
    """
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


def check_writable(folder: Path, config: SamConfig) -> None:
    """Check that Hugging Face's model can have these sizes.

    Raises:
        InputError: The path is that of a file, or the model's input is not square.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file; weights for Hugging Face are a folder")
    height, width = config.image_encoder.image_size
    if height != width:
        raise InputError(
            f"{folder}: Hugging Face's model takes square inputs, not {height} x {width} pixels; "
            "write a .safetensors or .pth file"
        )


def write_folder(folder: Path, config: SamConfig, state: Tensors) -> None:
    """Write a folder that `transformers.SamModel.from_pretrained` loads; its files appear when all are complete.

    Args:
        folder: Folder of the model; files of other names in it stay.
        config: Sizes of the model.
        state: Tensors by official names.

    Raises:
        InputError: The folder cannot be written to.
        RunError: The disk is full or broken.
    """
    names = hugging_face_names(state)
    tensors = {names[key]: tensor for key, tensor in state.items()}
    tensors |= {twin: tensors[name] for name, twin in TIED.items()}
    with files_together(folder, "config.json") as unfinished:
        write_safetensors(unfinished / "model.safetensors", tensors, {"format": "pt"})
        write_json(unfinished / "config.json", _describe(config, state))
        write_json(unfinished / "preprocessor_config.json", _describe_processor(config))


def _describe(config: SamConfig, state: Tensors) -> dict[str, Any]:
    encoder, prompts, decoder = config.image_encoder, config.prompt_encoder, config.mask_decoder
    (side, _), (grid, _) = encoder.image_size, encoder.grid
    return {
        "model_type": "sam",
        "architectures": ["SamModel"],
        "dtype": str(next(iter(state.values())).dtype),
        "vision_config": {
            **_SUPPORTED["vision_config"],
            "hidden_size": encoder.width,
            "output_channels": encoder.out_channels,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.num_heads,
            "image_size": side,
            "patch_size": encoder.patch_size,
            "window_size": encoder.window_size,
            "global_attn_indexes": list(encoder.global_blocks),
            "num_pos_feats": prompts.width // 2,
            "mlp_ratio": encoder.mlp_ratio,
            "mlp_dim": int(encoder.width * encoder.mlp_ratio),
        },
        "prompt_encoder_config": {
            **_SUPPORTED["prompt_encoder_config"],
            "hidden_size": prompts.width,
            "image_size": side,
            "patch_size": encoder.patch_size,
            "image_embedding_size": grid,
            "mask_input_channels": prompts.mask_channels,
        },
        "mask_decoder_config": {
            **_SUPPORTED["mask_decoder_config"],
            "layer_norm_eps": _OFFICIAL_EPS,
            "hidden_size": decoder.width,
            "mlp_dim": decoder.mlp_width,
            "num_hidden_layers": decoder.depth,
            "num_attention_heads": decoder.num_heads,
            "num_multimask_outputs": decoder.num_multimask_outputs,
            "iou_head_depth": decoder.iou_head_depth,
            "iou_head_hidden_dim": decoder.iou_head_width,
        },
    }


def _describe_processor(config: SamConfig) -> dict[str, Any]:
    """What `transformers.SamProcessor` does to photos: the same as `sam_jax.data.framing`."""
    side = config.image_encoder.image_size[0]
    return {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [round(level / 255, 6) for level in PIXEL_MEAN],
        "image_std": [round(level / 255, 6) for level in PIXEL_STD],
        "pad_size": {"height": side, "width": side},
        "mask_pad_size": {"height": side // 4, "width": side // 4},
        "mask_size": {"longest_edge": side // 4},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": side},
    }
