"""Reading and writing weights: official PyTorch files, Hugging Face's, our own safetensors; and fetching them."""

from sam_jax.checkpoints.clip import load_clip, name_clip, save_clip
from sam_jax.checkpoints.contents import SHIPPED, SHIPPED_FILES, SHIPPED_WEIGHTS
from sam_jax.checkpoints.detector import (
    StoredDetector,
    load_detector,
    name_encoder,
    save_detector,
)
from sam_jax.checkpoints.downloads import OFFICIAL_FILES, download
from sam_jax.checkpoints.first_weights import Account, load_first_weights
from sam_jax.checkpoints.load import (
    convert_checkpoint,
    load_checkpoint,
    read_config,
    read_origin,
    save_checkpoint,
)
from sam_jax.checkpoints.mae import load_mae, save_mae
from sam_jax.checkpoints.recognition import name_variant
from sam_jax.checkpoints.torch_file import read_pth, write_pth

__all__ = [
    "OFFICIAL_FILES",
    "SHIPPED",
    "SHIPPED_FILES",
    "SHIPPED_WEIGHTS",
    "Account",
    "StoredDetector",
    "convert_checkpoint",
    "download",
    "load_checkpoint",
    "load_clip",
    "load_detector",
    "load_first_weights",
    "load_mae",
    "name_clip",
    "name_encoder",
    "name_variant",
    "read_config",
    "read_origin",
    "read_pth",
    "save_checkpoint",
    "save_clip",
    "save_detector",
    "save_mae",
    "write_pth",
]
