"""CLIP: a text tower and an image tower whose features meet in one space."""

from sam_jax.models.clip.clip import Clip, abstract_clip
from sam_jax.models.clip.config import (
    CLIP_TINY,
    CLIP_VIT_B_16,
    CLIP_VIT_B_32,
    CLIP_VIT_L_14,
    CLIP_VIT_L_14_336,
    ClipConfig,
    ClipImageConfig,
    ClipTextConfig,
)
from sam_jax.models.clip.initialisation import init_clip
from sam_jax.models.clip.model import (
    ClipModel,
    compare,
    embed_images,
    embed_pixels,
    embed_prompts,
    embed_text,
    embed_tokens,
)
from sam_jax.models.clip.tokeniser import ClipTokeniser
from sam_jax.models.clip.vocabulary import learn_words

__all__ = [
    "CLIP_TINY",
    "CLIP_VIT_B_16",
    "CLIP_VIT_B_32",
    "CLIP_VIT_L_14",
    "CLIP_VIT_L_14_336",
    "Clip",
    "ClipConfig",
    "ClipImageConfig",
    "ClipModel",
    "ClipTextConfig",
    "ClipTokeniser",
    "abstract_clip",
    "compare",
    "embed_images",
    "embed_pixels",
    "embed_prompts",
    "embed_text",
    "embed_tokens",
    "init_clip",
    "learn_words",
]
