"""Loading a model with its weights."""

import os
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax

from sam_jax.checkpoints import SHIPPED, load_checkpoint, load_clip
from sam_jax.checkpoints.contents import DRAWINGS, SHIPPED_CLIP_FOLDER
from sam_jax.checkpoints.downloads import CLIP_FILES, downloads_folder
from sam_jax.inference.arguments import check_text
from sam_jax.models import (
    VIT_B,
    VIT_H,
    VIT_L,
    Compute,
    Model,
    SamConfig,
    default_compute,
    init_variables,
    suit,
)
from sam_jax.models.clip import CLIP_TINY, ClipModel
from sam_jax.ops.arguments import describe
from sam_jax.types import InputError, InputWarning

AnyModel = TypeVar("AnyModel", Model, ClipModel)


def load(
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    compute: Compute | None = None,
) -> Model:
    """Load a model with its weights onto the default device.

    Args:
        checkpoint: An official `.pth` file, a folder or file of Hugging Face, or a `.safetensors` file of this package;
            None or "default" for the small model that comes with this package, "drawings" for the one that takes text
            about drawings.
        image_size: Size of the model's padded input in pixels, a side or (h, w); the default is that of the checkpoint.
            For another size the positional tables are interpolated.
        compute: Precision and sizes of the steps of the computation; the default suits the device.

    Raises:
        CheckpointError: The file is absent, damaged, unsafe or of another model.
        InputError: The checkpoint is no path, or the size doesn't go with the model.
    """
    if not isinstance(checkpoint, (str, os.PathLike, types.NoneType)):
        raise InputError(
            f"a checkpoint is the path of a file or folder, not {describe(checkpoint)}"
        )
    path = SHIPPED if checkpoint is None else checkpoint
    config, variables = load_checkpoint(path, image_size=image_size)
    compute = compute or default_compute(bytes_per_prompt=config.bytes_per_prompt)
    return Model(config, jax.device_put(variables), suit(compute, jax.local_devices()[0]))


def load_clip_model(path: str | os.PathLike[str] | None = None) -> ClipModel:
    """Load a CLIP with its weights and words onto the default device.

    Args:
        path: A folder of Hugging Face's, or OpenAI's `.pt` with the words beside it; "drawings" for the small one that
            comes with this package; None for the largest that `sam-jax download` has brought into its usual folder,
            or, where there is none, that small one.

    Raises:
        CheckpointError: The weights or the words are damaged, unsafe or of another model.
        InputError: There are no words, or the package `tokenizers` is absent.
    """
    if path is None:
        path = find_downloaded_clip()
    if path is None:
        path = DRAWINGS
        warnings.warn(
            "phrases are judged by the small CLIP that comes with sam-jax, which knows drawings and no photos: "
            "`sam-jax download clip_vit_l_14_336` brings one for photos (0.9 GB), or --clip names a folder or file",
            InputWarning,
            stacklevel=2,
        )
    if str(path) == DRAWINGS:
        path = SHIPPED_CLIP_FOLDER
    clip = load_clip(path, compute=default_compute())
    return clip.replace(variables=jax.device_put(clip.variables))  # pyright: ignore[reportAttributeAccessIssue]


def load_clip_of(model: Model, path: str | os.PathLike[str] | None = None) -> ClipModel:
    """Load the CLIP of weights that take text.

    Args:
        model: Model with its weights.
        path: As for `load_clip_model`; None for the small one where the weights take its embeddings, or else for the
            largest that `sam-jax download` has brought.

    Raises:
        CheckpointError: The weights or the words are damaged, unsafe or of another model.
        InputError: The weights take no text, or that of another CLIP, or none is here.
    """
    check_text(model)
    if path is None and model.config.prompt_encoder.text_width == CLIP_TINY.width:
        path = DRAWINGS
    elif path is None and find_downloaded_clip() is None:
        raise InputError(
            "phrases need the CLIP that the weights were trained with, and none is here: "
            "`sam-jax download clip_vit_l_14_336` brings the paper's (0.9 GB), or --clip names a folder or file"
        )
    clip = load_clip_model(path)
    check_text(model, clip)
    return clip


def find_downloaded_clip() -> Path | None:
    """The largest CLIP that `sam-jax download` has brought; None where there is none."""
    for name in reversed(CLIP_FILES):
        path = downloads_folder() / CLIP_FILES[name].name
        if path.is_file():
            return path
    return None


def copy_to_devices(model: AnyModel) -> list[AnyModel]:
    """Copy a model to each device of this machine."""
    return [jax.device_put(model, device) for device in jax.local_devices()]


def _builder(config: SamConfig) -> Callable[..., Model]:
    def build(checkpoint: str | os.PathLike[str] | None = None) -> Model:
        if checkpoint is None:
            compute = default_compute(bytes_per_prompt=config.bytes_per_prompt)
            variables = init_variables(config)
            return Model(config, variables, suit(compute, jax.local_devices()[0]))
        model = load(checkpoint)
        if model.config != config:
            raise InputError(
                f"{checkpoint} holds another variant than was asked for; sam_jax.load finds out which"
            )
        return model

    return build


sam_model_registry = {
    "default": _builder(VIT_H),
    "vit_h": _builder(VIT_H),
    "vit_l": _builder(VIT_L),
    "vit_b": _builder(VIT_B),
}
"""Functions that load a checkpoint, by official name, so that official scripts run; without one, weights are random."""
