"""Masked autoencoders in files: under the public names, as the authors and Hugging Face have them."""

import os
import re
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints import conversion
from sam_jax.checkpoints.contents import Stored, read_stored
from sam_jax.checkpoints.names import MAE_NAMES, rearranged_shape, rename
from sam_jax.checkpoints.recognition import Shapes
from sam_jax.checkpoints.safetensors_file import (
    describe_mae,
    read_mae_description,
    write_safetensors,
)
from sam_jax.checkpoints.tensors import Tensor, Tensors, split_rows
from sam_jax.checkpoints.torch_file import write_pth
from sam_jax.checkpoints.vit import PlainVit, find_vit
from sam_jax.models import (
    MAE_TINY,
    MAE_VIT_B,
    MAE_VIT_H,
    MAE_VIT_L,
    MaeConfig,
    TransformerConfig,
    abstract_mae,
)
from sam_jax.models.layers import NORM_EPSILON
from sam_jax.storage import files_together, locate, write_json
from sam_jax.types import CheckpointError, InputError, Variables

_PUBLISHED = (MAE_VIT_B, MAE_VIT_L, MAE_VIT_H, MAE_TINY)
_MODEL_TYPE = "vit_mae"
_IN_BLOCK = (
    ("*.norm1.*", "*.layernorm_before.*"),
    ("*.norm2.*", "*.layernorm_after.*"),
    ("*.attn.q.*", "*.attention.attention.query.*"),
    ("*.attn.k.*", "*.attention.attention.key.*"),
    ("*.attn.v.*", "*.attention.attention.value.*"),
    ("*.attn.proj.*", "*.attention.output.dense.*"),
    ("*.mlp.fc1.*", "*.intermediate.dense.*"),
    ("*.mlp.fc2.*", "*.output.dense.*"),
)
_TO_HUGGING_FACE = (
    *((f"blocks.{ours}", f"vit.encoder.layer.{theirs}") for ours, theirs in _IN_BLOCK),
    *((f"decoder_blocks.{ours}", f"decoder.decoder_layers.{theirs}") for ours, theirs in _IN_BLOCK),
    ("cls_token", "vit.embeddings.cls_token"),
    ("pos_embed", "vit.embeddings.position_embeddings"),
    ("patch_embed.proj.*", "vit.embeddings.patch_embeddings.projection.*"),
    ("norm.*", "vit.layernorm.*"),
    ("mask_token", "decoder.mask_token"),
    ("decoder_**", "decoder.decoder_**"),
)
"""Names of the folders that Hugging Face publishes, by public names."""


def load_mae(
    path: str | os.PathLike, *, config: MaeConfig | None = None
) -> tuple[MaeConfig, Variables]:
    """A masked autoencoder's weights as float32 NumPy arrays, and its sizes.

    Args:
        path: A `.pth` or `.safetensors` file under the public names, or a folder of Hugging Face's
            `ViTMAEForPreTraining`.
        config: Sizes of the model; the default is to recognise it, which takes a folder, a `.safetensors` file that
            `save_mae` wrote, or a published model.

    Raises:
        CheckpointError: The file is damaged, unsafe, or not a masked autoencoder with its decoder; the message tells
            all that doesn't fit.
    """
    stored = read_stored(locate(path))
    vit = find_vit(stored.tensors)
    if vit is None:
        is_sam = any(
            re.search(r"(^|[./])(image|vision)_encoder[./]", name) for name in stored.tensors
        )
        what = "a Segment Anything" if is_sam else "another model"
        raise CheckpointError(f"{path} holds {what}, not a masked autoencoder")
    if not any(name.startswith("decoder_") for name in vit.tensors):
        raise CheckpointError(
            f"{path} holds {vit.kind}, without a decoder; a masked autoencoder has both, as in the files that its "
            "authors call mae_visualize"
        )
    config = config or _recognise(locate(path), stored, vit)
    model = f"a masked autoencoder of width {config.encoder.width} and depth {config.encoder.depth}"
    checked = conversion.check_tensors(path, model, vit.tensors, public_shapes(config))
    leaves = conversion.official_to_leaves(conversion.cast(checked, "float32"), MAE_NAMES)
    return config, unflatten_dict(
        {path: np.ascontiguousarray(leaf) for path, leaf in leaves.items()}, sep="/"
    )


def save_mae(path: str | os.PathLike, config: MaeConfig, variables: Variables) -> None:
    """Write a masked autoencoder under the public names; the file appears when it is complete.

    Args:
        path: File that ends in `.pth`, as its authors' files are, or in `.safetensors`; a folder, or a name without an
            ending, for Hugging Face's `ViTMAEForPreTraining`.
        config: Sizes of the model.
        variables: Weights of the model.

    Raises:
        InputError: The ending is another one, or Hugging Face's format has no place for images that are not square.
        CheckpointError: The weights don't fit the model.
        RunError: The disk refuses the file.
    """
    path = locate(path)
    public = conversion.leaves_to_official(conversion.flatten(variables), MAE_NAMES)
    model = f"a masked autoencoder of width {config.encoder.width} and depth {config.encoder.depth}"
    public = conversion.check_tensors(path, model, public, public_shapes(config))
    if path.suffix == ".pth":
        write_pth(path, public, under="model")
    elif path.suffix == ".safetensors":
        write_safetensors(path, public, describe_mae(config))
    elif path.is_dir() or not path.suffix:
        _write_folder(path, config, public)
    else:
        raise InputError(
            f"cannot tell the format of {path}: a file ends in .safetensors or .pth, and a folder for Hugging Face has "
            "no ending"
        )


def read_grid(path: Path, stored: Stored) -> tuple[int, int] | None:
    """Numbers of patches down and across that a file's positions are for, where the file tells it.

    Raises:
        CheckpointError: What the file tells is impossible.
    """
    if config := read_mae_description(path, stored.metadata):
        return config.grid
    if stored.description is None or "image_size" not in stored.description:
        return None
    sides, patches = (
        _pair(path, stored.description, name) for name in ("image_size", "patch_size")
    )
    return sides[0] // patches[0], sides[1] // patches[1]


def _pair(path: Path, description: dict[str, Any], name: str) -> tuple[int, int]:
    value = description.get(name)
    pair = [value, value] if isinstance(value, int) else value
    if (
        not isinstance(pair, list)
        or len(pair) != 2
        or not all(isinstance(side, int) and side > 0 for side in pair)
    ):
        raise CheckpointError(f"{path / 'config.json'}: {name} is {value!r}, no size in pixels")
    return pair[0], pair[1]


@cache
def public_shapes(config: MaeConfig) -> Shapes:
    """Shapes of the tensors by public names."""
    shapes = {}
    for path, leaf in conversion.flatten(abstract_mae(config)).items():
        name = MAE_NAMES.translate_path(path)
        shapes[name.key] = rearranged_shape(leaf.shape, name.path_axes, name.key_axes)
    return MappingProxyType(shapes)


def _recognise(path: Path, stored: Stored, vit: PlainVit) -> MaeConfig:
    if config := read_mae_description(path, stored.metadata):
        return config
    if stored.description is not None:
        return _read_sizes(path, stored.description)
    width, _, _, patch_size = vit.tensors["patch_embed.proj.weight"].shape
    for config in _PUBLISHED:
        encoder = config.encoder
        if (width, vit.depth, patch_size) == (encoder.width, encoder.depth, config.patch_size):
            return config
    raise CheckpointError(
        f"{path} is no published masked autoencoder, and does not tell its number of heads: give `config`"
    )


def _read_sizes(folder: Path, description: dict[str, Any]) -> MaeConfig:
    """The sizes in Hugging Face's config.json."""
    if description.get("model_type") != _MODEL_TYPE:
        raise CheckpointError(
            f"{folder} holds a model of type {description.get('model_type')!r}, not {_MODEL_TYPE!r}"
        )
    for name, value in (("hidden_act", "gelu"), ("qkv_bias", True), ("num_channels", 3)):
        if description.get(name, value) != value:
            raise CheckpointError(
                f"{folder / 'config.json'}: {name} is {description[name]!r}, only {value!r} is supported"
            )

    def transformer(prefix: str) -> TransformerConfig:
        width = int(description[f"{prefix}hidden_size"])
        return TransformerConfig(
            width=width,
            depth=int(description[f"{prefix}num_hidden_layers"]),
            num_heads=int(description[f"{prefix}num_attention_heads"]),
            mlp_ratio=int(description[f"{prefix}intermediate_size"]) / width,
        )

    try:
        return MaeConfig(
            image_size=_pair(folder, description, "image_size"),
            patch_size=_pair(folder, description, "patch_size")[0],
            encoder=transformer(""),
            decoder=transformer("decoder_"),
        )
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error


def _write_folder(folder: Path, config: MaeConfig, public: Tensors) -> None:
    height, width = config.image_size
    if folder.is_file():
        raise InputError(f"{folder} is a file; weights for Hugging Face are a folder")
    if height != width:
        raise InputError(
            f"{folder}: Hugging Face's model takes square images, not {height} x {width} pixels; "
            "write a .safetensors or .pth file"
        )
    tensors: dict[str, Tensor] = {}
    for name, tensor in public.items():
        parts = split_rows(tensor) if ".attn.qkv." in name else {"qkv": tensor}
        for part, values in parts.items():
            tensors[rename(name.replace(".attn.qkv.", f".attn.{part}."), _TO_HUGGING_FACE)] = values
    with files_together(folder, "config.json") as unfinished:
        write_safetensors(unfinished / "model.safetensors", tensors, {"format": "pt"})
        write_json(unfinished / "config.json", _describe(config))


def _describe(config: MaeConfig) -> dict[str, Any]:
    encoder, decoder = config.encoder, config.decoder
    return {
        "model_type": _MODEL_TYPE,
        "architectures": ["ViTMAEForPreTraining"],
        "image_size": config.image_size[0],
        "patch_size": config.patch_size,
        "num_channels": 3,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": int(encoder.width * encoder.mlp_ratio),
        "decoder_hidden_size": decoder.width,
        "decoder_num_hidden_layers": decoder.depth,
        "decoder_num_attention_heads": decoder.num_heads,
        "decoder_intermediate_size": int(decoder.width * decoder.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": NORM_EPSILON,
        "norm_pix_loss": True,
        "qkv_bias": True,
    }
