"""The model: Flax Linen modules, one file for each box of the paper's figure."""

from sam_jax.models.compute import ON_ACCELERATOR, ON_CPU, Compute, default_compute, suit
from sam_jax.models.config import (
    TINY,
    VIT_B,
    VIT_H,
    VIT_L,
    AutomaticThresholds,
    FineConfig,
    SamConfig,
)
from sam_jax.models.detector import (
    DenseBoxes,
    Detector,
    DetectorConfig,
    RankedBoxes,
    abstract_detector,
    pick_peaks,
    predict_boxes,
)
from sam_jax.models.divided import DividedParameter
from sam_jax.models.image_encoder import ImageEncoderConfig
from sam_jax.models.initialisation import init_detector, init_mae, init_variables
from sam_jax.models.mae import (
    MAE_TINY,
    MAE_VIT_B,
    MAE_VIT_H,
    MAE_VIT_L,
    MaeConfig,
    MaskedAutoencoder,
    Reconstruction,
    TransformerConfig,
    abstract_mae,
    reconstruct,
)
from sam_jax.models.mask_decoder import MaskDecoderConfig
from sam_jax.models.model import (
    Model,
    abstract_variables,
    decode_masks,
    encode_image,
    encode_prompts,
    make_sam,
    without_text,
)
from sam_jax.models.prompt_encoder import PromptEncoderConfig
from sam_jax.models.sam import Sam

__all__ = [
    "MAE_TINY",
    "MAE_VIT_B",
    "MAE_VIT_H",
    "MAE_VIT_L",
    "ON_ACCELERATOR",
    "ON_CPU",
    "TINY",
    "VIT_B",
    "VIT_H",
    "VIT_L",
    "AutomaticThresholds",
    "Compute",
    "DenseBoxes",
    "Detector",
    "DetectorConfig",
    "DividedParameter",
    "FineConfig",
    "ImageEncoderConfig",
    "MaeConfig",
    "MaskDecoderConfig",
    "MaskedAutoencoder",
    "Model",
    "PromptEncoderConfig",
    "RankedBoxes",
    "Reconstruction",
    "Sam",
    "SamConfig",
    "TransformerConfig",
    "abstract_detector",
    "abstract_mae",
    "abstract_variables",
    "decode_masks",
    "default_compute",
    "encode_image",
    "encode_prompts",
    "init_detector",
    "init_mae",
    "init_variables",
    "make_sam",
    "pick_peaks",
    "predict_boxes",
    "reconstruct",
    "suit",
    "without_text",
]
