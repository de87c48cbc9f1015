"""Segment Anything in JAX: prompt a photo and get masks, or have all of it masked."""

from importlib.metadata import PackageNotFoundError, version

from sam_jax.inference import (
    SamAutomaticMaskGenerator,
    SamPredictor,
    load,
    sam_model_registry,
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
    "load",
    "sam_model_registry",
]
