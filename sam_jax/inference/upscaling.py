"""From low-resolution logits to masks at the photo's size."""

import functools

import jax
from jaxtyping import Array, Bool, Float

from sam_jax.data.framing import Framing
from sam_jax.ops.resize import MaskResize, plan_mask_resize, resize_masks

SIZE_STEP = 256
"""Multiple that an image's sides are rounded up to, in pixels, so that similar sizes share a compiled program."""


@functools.lru_cache(maxsize=8)
def plan_upscaling(framing: Framing) -> MaskResize:
    """Compute the weights that `upscale_logits` and `upscale_masks` take for an image."""
    height, width = (-(-side // SIZE_STEP) * SIZE_STEP for side in framing.original)
    return plan_mask_resize(
        framing.low_size, framing.frame, framing.fitted, framing.original, (height, width)
    )


@jax.jit
def upscale_logits(
    logits: Float[Array, "n m h_low w_low"], plan: MaskResize
) -> Float[Array, "n m h w"]:
    """Resize low-resolution logits to the image's size, rounded up to `SIZE_STEP`, one prompt at a time.

    Args:
        logits: Low-resolution logits of each prompt's masks.
        plan: Weights from `plan_upscaling`.

    Returns:
        Logits whose upper left part is the image.
    """
    return jax.lax.map(lambda prompt: resize_masks(prompt, plan), logits)


@jax.jit
def upscale_masks(
    logits: Float[Array, "n m h_low w_low"], plan: MaskResize
) -> Bool[Array, "n m h w"]:
    """Whether the result of `upscale_logits` is above 0, without holding it for more than one prompt."""
    return jax.lax.map(lambda prompt: resize_masks(prompt, plan) > 0, logits)
