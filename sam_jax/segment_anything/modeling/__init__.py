"""The model and its parts by their official names."""

from sam_jax.segment_anything.modeling.image_encoder import ImageEncoderViT
from sam_jax.segment_anything.modeling.mask_decoder import MaskDecoder
from sam_jax.segment_anything.modeling.prompt_encoder import PromptEncoder
from sam_jax.segment_anything.modeling.sam import Sam
from sam_jax.segment_anything.modeling.transformer import TwoWayTransformer

__all__ = ["ImageEncoderViT", "MaskDecoder", "PromptEncoder", "Sam", "TwoWayTransformer"]
