"""Getting a model with its weights."""

import os
from collections.abc import Callable

import jax

from sam_jax.checkpoints import SHIPPED_WEIGHTS, load_checkpoint
from sam_jax.models import (
    VIT_B,
    VIT_H,
    VIT_L,
    Compute,
    Model,
    Sam,
    SamConfig,
    default_compute,
    init_variables,
)
from sam_jax.types import InputError


def load(
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    image_size: int | tuple[int, int] | None = None,
    compute: Compute | None = None,
) -> Model:
    """A model with its weights on the default device.

    Args:
        checkpoint: an official `.pth`, a Hugging Face folder or file, or our own `.safetensors`; None for the small
            model that comes with this package.
        image_size: of the model's input in pixels, a side or (h, w), if not the checkpoint's own; positional tables are
            interpolated.
        compute: speed, memory and precision; the default suits the device.

    Raises:
        CheckpointError: the file is damaged, unsafe or of another model.
        InputError: there is no such file, or the size doesn't go with the model.
    """
    path = SHIPPED_WEIGHTS if checkpoint is None else checkpoint
    config, variables = load_checkpoint(path, image_size=image_size)
    return Model(
        Sam(config, compute or default_compute(bytes_per_prompt=config.bytes_per_prompt)),
        jax.device_put(variables),
    )


def copy_to_devices(model: Model) -> list[Model]:
    """The model on each device of this machine, with its own copy of the weights."""
    return [
        Model(model.sam, jax.device_put(model.variables, device)) for device in jax.local_devices()
    ]


def _builder(config: SamConfig) -> Callable[..., Model]:
    def build(checkpoint: str | os.PathLike[str] | None = None) -> Model:
        if checkpoint is None:
            return Model(
                Sam(config, default_compute(bytes_per_prompt=config.bytes_per_prompt)),
                init_variables(config),
            )
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
"""Official names to functions of a checkpoint, so that official scripts run; without one, weights are random."""
