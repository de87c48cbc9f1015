"""The shape of the official package: what scripts for `segment_anything` import, computed by this package.

A script changes its imports to `sam_jax.segment_anything`, or runs unchanged by
`python -m sam_jax.segment_anything script.py`.
"""

from sam_jax.segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_jax.segment_anything.build_sam import (
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    sam_model_registry,
)
from sam_jax.segment_anything.predictor import SamPredictor

__all__ = [
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]
