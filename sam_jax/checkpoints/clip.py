"""CLIP in files: OpenAI's `.pt`, Hugging Face's folders, and state dicts under the names of either."""

import math
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion
from sam_jax.checkpoints.clip_names import (
    HUGGING_FACE_CLIP_NAMES,
    OPENAI_CLIP_NAMES,
    find_clip_prefix,
)
from sam_jax.checkpoints.clip_words import read_words, write_words
from sam_jax.checkpoints.contents import Stored, read_stored
from sam_jax.checkpoints.hugging_face import read_json
from sam_jax.checkpoints.names import Naming, rearranged_shape
from sam_jax.checkpoints.recognition import Shapes
from sam_jax.checkpoints.safetensors_file import write_safetensors
from sam_jax.checkpoints.selection import unwrap
from sam_jax.checkpoints.tensors import Tensor, Tensors, join_rows, split_rows
from sam_jax.data.object_crops import CLIP_MEAN, CLIP_STD
from sam_jax.models.clip import (
    CLIP_VIT_B_16,
    CLIP_VIT_B_32,
    CLIP_VIT_L_14,
    CLIP_VIT_L_14_336,
    ClipConfig,
    ClipImageConfig,
    ClipModel,
    ClipTextConfig,
    abstract_clip,
)
from sam_jax.models.clip.towers import NORM_EPSILON
from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.storage import files_together, locate, to_local, write_json
from sam_jax.types import CheckpointError, InputError

_PUBLISHED = {
    "CLIP ViT-B/32": CLIP_VIT_B_32,
    "CLIP ViT-B/16": CLIP_VIT_B_16,
    "CLIP ViT-L/14": CLIP_VIT_L_14,
    "CLIP ViT-L/14@336px": CLIP_VIT_L_14_336,
}
_HEAD_WIDTH = 64
"""Width of an attention head in all models under OpenAI's names, which do not tell it."""
_BESIDE = re.compile(r"input_resolution|context_length|vocab_size|.*\.position_ids|.*attn_mask")
"""What files have beside the weights, and what follows from their sizes."""
_LEGACY_END = 2
"""The word of the end that Hugging Face's folders name where they mean the highest one of all."""


def load_clip(
    path: str | os.PathLike, *, with_words: bool = True, compute: Compute = ON_CPU
) -> ClipModel:
    """A CLIP with its weights, as float32 NumPy arrays, and its words.

    Args:
        path: A folder of Hugging Face's `CLIPModel`, OpenAI's `.pt`, or a file with a state dict of either. Words lie
            in the same folder: vocab.json and merges.txt, tokenizer.json, or OpenAI's bpe_simple_vocab_16e6.txt.gz.
        with_words: Whether phrases shall be embedded; images need no words.
        compute: Precision.

    Raises:
        CheckpointError: The weights or the words are damaged, unsafe, or not those of a CLIP with a vision transformer;
            the message tells all that doesn't fit.
        InputError: There are no words, or the package `tokenizers` is absent.
    """
    location = locate(path)
    stored = read_stored(location)
    names, state = _select(path, stored)
    description = stored.description
    if description is None and (location.parent / "config.json").is_file():
        description = read_json(location.parent / "config.json")
    if description is not None and description.get("model_type") == "clip":
        folder = location if stored.description is not None else location.parent
        config = _read_sizes(folder / "config.json", description, state)
    else:
        config = _measure(path, names, state)
    _check_depth(path, config, state)
    expected = clip_shapes(config, names)
    checked = conversion.check_tensors(path, name_clip(config), state, expected)
    leaves = conversion.official_to_leaves(conversion.cast(checked, "float32"), names)
    variables = unflatten_dict(
        {leaf: np.asarray(np.asarray(values), order="C") for leaf, values in leaves.items()},
        sep="/",
    )
    words = None
    if with_words:
        local = to_local(location)
        folder = local if local.is_dir() else local.parent
        words = read_words(folder, config.text.context, config.text.vocabulary)
    return ClipModel(config, variables, compute, words)


def save_clip(path: str | os.PathLike, model: ClipModel, *, dtype: str = "float32") -> None:
    """Write a folder that `transformers.CLIPModel` and its tokeniser load; its files appear when all are complete.

    Args:
        path: Folder of the model.
        model: Model with its weights; its words are written too if it has them.
        dtype: Precision of the file: float32, float16 or bfloat16.

    Raises:
        InputError: The path is that of a file, or the model's images are not square.
        CheckpointError: The weights don't fit the model.
        RunError: The disk refuses the files.
    """
    folder = locate(path)
    height, width = model.config.image.image_size
    if folder.is_file():
        raise InputError(f"{folder} is a file; weights for Hugging Face are a folder")
    if height != width:
        raise InputError(
            f"{folder}: Hugging Face's CLIP takes square images, not {height} x {width} pixels"
        )
    names = HUGGING_FACE_CLIP_NAMES
    state: Tensors = conversion.leaves_to_official(conversion.flatten(model.variables), names)
    state = conversion.check_tensors(
        path, name_clip(model.config), state, clip_shapes(model.config, names)
    )
    tensors: dict[str, Tensor] = {}
    for name, tensor in conversion.cast(state, dtype).items():
        parts = split_rows(tensor) if ".qkv_proj." in name else {"qkv": tensor}
        for part, values in parts.items():
            tensors[name.replace(".qkv_proj.", f".{part}_proj.")] = values
    with files_together(folder, "config.json") as unfinished:
        write_safetensors(unfinished / "model.safetensors", tensors, {"format": "pt"})
        write_json(unfinished / "config.json", _describe(model.config, dtype))
        write_json(unfinished / "preprocessor_config.json", _describe_processor(height))
        if model.tokeniser is not None:
            write_words(unfinished, model.tokeniser)


def name_clip(config: ClipConfig) -> str:
    """What people call a CLIP; its sizes if it has no name."""
    for name, published in _PUBLISHED.items():
        if config == published:
            return name
    image = config.image
    return f"a CLIP of width {image.width} and depth {image.depth}, with patches of {image.patch_size} pixels"


@cache
def clip_shapes(config: ClipConfig, names: Naming) -> Shapes:
    """Shapes of the tensors by the names of one side."""
    shapes = {}
    for path, leaf in conversion.flatten(abstract_clip(config)).items():
        name = names.translate_path(path)
        shapes[name.key] = rearranged_shape(leaf.shape, name.path_axes, name.key_axes)
    return MappingProxyType(shapes)


def _select(path: str | os.PathLike, stored: Stored) -> tuple[Naming, dict[str, Tensor]]:
    """Whose names the tensors of a CLIP have, and the tensors."""
    raw = {unwrap(name).replace("/", "."): tensor for name, tensor in stored.tensors.items()}
    found = find_clip_prefix(raw)
    if found is None:
        is_sam = any(
            re.search(r"(^|[./])(image|vision|prompt)_encoder[./]", name) for name in stored.tensors
        )
        what = "a Segment Anything" if is_sam else "another model"
        raise CheckpointError(f"{path} holds {what}, not a CLIP")
    form, prefix = found
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in raw.items()
        if name.startswith(prefix) and not _BESIDE.fullmatch(name.removeprefix(prefix))
    }
    if form == "OpenAI":
        if any(name.startswith(("visual.layer", "visual.attnpool")) for name in state):
            raise CheckpointError(
                f"{path} holds a CLIP whose image tower is a ResNet; only those with a vision transformer are supported"
            )
        return OPENAI_CLIP_NAMES, state
    for name in [name for name in state if re.search(r"\.self_attn\.q_proj\.", name)]:
        apart = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in state for part in apart):
            whole = name.replace(".q_proj.", ".qkv_proj.")
            state[whole] = join_rows([state.pop(part) for part in apart])
    return HUGGING_FACE_CLIP_NAMES, state


def _measure(path: str | os.PathLike, names: Naming, state: Tensors) -> ClipConfig:
    """The sizes that the tensors themselves tell, with OpenAI's choices for what they don't."""
    shapes = {}
    for key, tensor in state.items():
        try:
            name = names.translate_key(key)
            shapes[name.path] = rearranged_shape(tuple(tensor.shape), name.key_axes, name.path_axes)
        except (KeyError, ValueError):  # the comparison will tell
            continue

    def tower(part: str) -> Any:
        width = shapes[f"params/{part}/norm/scale"][0]
        blocks = {
            found[1]
            for found in map(re.compile(rf"params/{part}/blocks_(\d+)/.+").fullmatch, shapes)
            if found
        }
        return {
            "width": width,
            "depth": len(blocks),
            "num_heads": width // _HEAD_WIDTH,
            "mlp_width": shapes[f"params/{part}/blocks_0/mlp/lin1/kernel"][1],
        }

    try:
        patch_size = shapes["params/image/patch_embed/kernel"][0]
        side = math.isqrt(shapes["params/image/pos_embed"][0] - 1) * patch_size
        vocabulary, _ = shapes["params/text/token_embed"]
        return ClipConfig(
            text=ClipTextConfig(
                **tower("text"),
                context=shapes["params/text/pos_embed"][0],
                vocabulary=vocabulary,
            ),
            image=ClipImageConfig(**tower("image"), image_size=(side, side), patch_size=patch_size),
            width=shapes["params/text/proj/kernel"][1],
            has_logit_bias="params/logit_bias" in shapes,
            has_prompt_shift="params/prompt_shift" in shapes,
        )
    except (LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole CLIP: what tells its sizes is absent or damaged ({error})"
        ) from error


def _check_depth(path: str | os.PathLike, config: ClipConfig, state: Tensors) -> None:
    """A config.json can ask for any number of layers; each has tensors, so the file bounds them."""
    if config.text.depth + config.image.depth > len(state):
        raise CheckpointError(
            f"{path} does not fit {name_clip(config)}: it has no more than {len(state)} tensors"
        )


def _read_sizes(path: Path, description: Mapping[str, Any], state: Tensors) -> ClipConfig:
    """The sizes in Hugging Face's config.json; what it leaves out is as in ViT-B/32.

    What lies beside the towers is told by its tensors.
    """
    text, image = (description.get(f"{part}_config") or {} for part in ("text", "vision"))
    for section in (text, image):
        found = section.get("layer_norm_eps", NORM_EPSILON)
        if found != NORM_EPSILON:
            raise CheckpointError(
                f"{path}: layer_norm_eps is {found!r}, only {NORM_EPSILON} is supported"
            )
    if image.get("num_channels", 3) != 3:
        raise CheckpointError(
            f"{path}: num_channels is {image['num_channels']!r}, only 3 are supported"
        )

    def whole(section: Mapping[str, Any], name: str, default: int) -> int:
        value = section.get(name, default)
        if type(value) is not int:
            raise CheckpointError(f"{path}: {name} is {value!r}, not a whole number")
        return value

    def tower(section: Mapping[str, Any], default: ClipTextConfig | ClipImageConfig) -> Any:
        return {
            "width": whole(section, "hidden_size", default.width),
            "depth": whole(section, "num_hidden_layers", default.depth),
            "num_heads": whole(section, "num_attention_heads", default.num_heads),
            "mlp_width": whole(section, "intermediate_size", default.mlp_width),
            "activation": section.get("hidden_act", default.activation),
        }

    default = CLIP_VIT_B_32
    side = whole(image, "image_size", default.image.image_size[0])
    vocabulary = whole(text, "vocab_size", default.text.vocabulary)
    end = whole(text, "eos_token_id", default.text.vocabulary - 1)
    try:
        return ClipConfig(
            text=ClipTextConfig(
                **tower(text, default.text),
                context=whole(text, "max_position_embeddings", default.text.context),
                vocabulary=vocabulary,
                end_of_text=None if end in (_LEGACY_END, vocabulary - 1) else end,
            ),
            image=ClipImageConfig(
                **tower(image, default.image),
                image_size=(side, side),
                patch_size=whole(image, "patch_size", default.image.patch_size),
            ),
            width=whole(description, "projection_dim", default.width),
            has_logit_bias="logit_bias" in state,
            has_prompt_shift="prompt_shift" in state,
        )
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _describe(config: ClipConfig, dtype: str) -> dict[str, Any]:
    text, image = config.text, config.image

    def tower(section: ClipTextConfig | ClipImageConfig) -> dict[str, Any]:
        return {
            "hidden_size": section.width,
            "num_hidden_layers": section.depth,
            "num_attention_heads": section.num_heads,
            "intermediate_size": section.mlp_width,
            "hidden_act": section.activation,
            "layer_norm_eps": NORM_EPSILON,
            "projection_dim": config.width,
        }

    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "dtype": dtype,
        "projection_dim": config.width,
        "text_config": {
            "model_type": "clip_text_model",
            **tower(text),
            "max_position_embeddings": text.context,
            "vocab_size": text.vocabulary,
            "eos_token_id": _LEGACY_END if text.end_of_text is None else text.end_of_text,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            **tower(image),
            "image_size": image.image_size[0],
            "patch_size": image.patch_size,
            "num_channels": 3,
        },
    }


def _describe_processor(side: int) -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_center_crop": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
    }
