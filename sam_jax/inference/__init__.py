"""Using a model: from files and clicks to masks."""

from sam_jax.inference.automatic import SamAutomaticMaskGenerator
from sam_jax.inference.loading import load, sam_model_registry
from sam_jax.inference.notebook import show
from sam_jax.inference.overlay import draw_overlay
from sam_jax.inference.predictor import EmbeddedImage, SamPredictor
from sam_jax.inference.steps import embed_images, predict_masks

__all__ = [
    "EmbeddedImage",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "draw_overlay",
    "embed_images",
    "load",
    "predict_masks",
    "sam_model_registry",
    "show",
]
