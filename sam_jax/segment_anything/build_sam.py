"""Building models by their official names."""

import os
from collections.abc import Callable

from sam_jax.inference import load
from sam_jax.inference import sam_model_registry as models
from sam_jax.models import Model, without_text
from sam_jax.segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
)
from sam_jax.types import InputError

__all__ = [
    "Sam",
    "build_sam",
    "build_sam_tiny",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
    "wrap_model",
]

Checkpoint = str | os.PathLike[str] | None


def wrap_model(model: Model) -> Sam:
    """A model of this package as official scripts take it, without text prompts.

    Args:
        model: Model with its weights, from `sam_jax.load`; its padded input is square.

    Raises:
        InputError: The padded input is not square.
    """
    height, width = model.config.image_encoder.image_size
    if height != width:
        raise InputError(
            f"official scripts know square inputs only, not {height}x{width}: load the weights with image_size={height}"
        )
    model = without_text(model)
    return Sam(
        ImageEncoderViT.of_model(model), PromptEncoder.of_model(model), MaskDecoder.of_model(model)
    ).eval()


def build_sam_vit_h(checkpoint: Checkpoint = None) -> Sam:
    """Segment Anything with ViT-H.

    Args:
        checkpoint: File of the weights in any format that `sam_jax.load` reads; None for random weights.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe or of another model.
        InputError: The file holds another variant.
    """
    return wrap_model(models["vit_h"](checkpoint))


def build_sam_vit_l(checkpoint: Checkpoint = None) -> Sam:
    """Segment Anything with ViT-L.

    Args:
        checkpoint: File of the weights in any format that `sam_jax.load` reads; None for random weights.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe or of another model.
        InputError: The file holds another variant.
    """
    return wrap_model(models["vit_l"](checkpoint))


def build_sam_vit_b(checkpoint: Checkpoint = None) -> Sam:
    """Segment Anything with ViT-B.

    Args:
        checkpoint: File of the weights in any format that `sam_jax.load` reads; None for random weights.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe or of another model.
        InputError: The file holds another variant.
    """
    return wrap_model(models["vit_b"](checkpoint))


def build_sam_tiny(checkpoint: Checkpoint = None) -> Sam:
    """The small model that comes with this package, or a model of any other size; no official name.

    Args:
        checkpoint: File of the weights in any format that `sam_jax.load` reads; None for those in the package.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe or of another model.
    """
    return wrap_model(load(checkpoint))


build_sam = build_sam_vit_h
"""The official name of `build_sam_vit_h`."""

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam_vit_h,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "tiny": build_sam_tiny,
}
"""Functions that build a model from a checkpoint, by name."""
