"""From low-resolution logits to masks of the photo's size."""

import functools

import jax
from jaxtyping import Array, Bool, Float

from sam_jax.data.framing import Framing
from sam_jax.ops.resize import MaskResize, plan_mask_resize, resize_masks

SIZE_STEP = 256
"""Masks are computed at an image's size rounded up to this many pixels, so that similar sizes share a program."""


@functools.lru_cache(maxsize=8)
def plan_upscaling(framing: Framing) -> MaskResize:
    """What `upscale_logits` needs to know of an image's sizes."""
    height, width = (-(-side // SIZE_STEP) * SIZE_STEP for side in framing.original)
    return plan_mask_resize(
        framing.low_size, framing.frame, framing.fitted, framing.original, (height, width)
    )


@jax.jit
def upscale_logits(
    logits: Float[Array, "n m h_low w_low"], plan: MaskResize
) -> Float[Array, "n m h w"]:
    """Low-resolution logits at the image's size, rounded up; crop to the image. One prompt at a time."""
    return jax.lax.map(lambda prompt: resize_masks(prompt, plan), logits)


@jax.jit
def upscale_masks(
    logits: Float[Array, "n m h_low w_low"], plan: MaskResize
) -> Bool[Array, "n m h w"]:
    """Where `upscale_logits` is above 0; no float mask outlives its prompt."""
    return jax.lax.map(lambda prompt: resize_masks(prompt, plan) > 0, logits)
