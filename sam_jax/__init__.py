"""Segment Anything in JAX: prompt a photo and get masks, or have all of it masked.

Public names are imported when they are first used, so that the command line answers before JAX is loaded.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_jax.data.framing import frame_image, normalise
    from sam_jax.export.exported import load_exported
    from sam_jax.export.files import export_model
    from sam_jax.inference import (
        SamAutomaticMaskGenerator,
        SamPredictor,
        draw_overlay,
        load,
        sam_model_registry,
        show,
    )
    from sam_jax.models import TINY, VIT_B, VIT_H, VIT_L, Compute, Model, Sam, SamConfig
    from sam_jax.types import CheckpointError, InputError, RunError

try:
    __version__ = version("sam-jax")
except PackageNotFoundError:
    __version__ = "unknown"

__all__ = [
    "TINY",
    "VIT_B",
    "VIT_H",
    "VIT_L",
    "CheckpointError",
    "Compute",
    "InputError",
    "Model",
    "RunError",
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamConfig",
    "SamPredictor",
    "draw_overlay",
    "export_model",
    "frame_image",
    "load",
    "load_exported",
    "normalise",
    "sam_model_registry",
    "show",
]
_HOMES = ("types", "models", "data.framing", "inference", "export.files")
"""Modules that the public names lie in, the quickest to import first."""
_ALONE = {"load_exported": "export.exported", "frame_image": "data.framing"}
"""Modules of names that must do without the model's code."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in [_ALONE[name]] if name in _ALONE else _HOMES:
            module = importlib.import_module(f"sam_jax.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    if name in _HOMES:
        return importlib.import_module(f"sam_jax.{name}")
    raise AttributeError(f"module 'sam_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
