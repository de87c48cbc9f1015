"""The loss of pairs of images and phrases."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.types import AnyArray


def sigmoid_pairs(
    logits: Float[AnyArray, "*n m"], fits: Bool[AnyArray, "*n m"]
) -> Float[Array, "*n m"]:
    """Sigmoid loss of every pair of an image and a phrase: -log p(z l), z = 1 where they fit, else -1.

    p is the logistic function. The logits are l = t x·y + b for features x and y of unit length, with a learned scale t
    and a learned bias b. Each pair is a question of its own: a phrase may fit any number of images, and an image any
    number of phrases.

    Source: [Zhai et al. 2023](https://arxiv.org/abs/2303.15343), Sigmoid Loss for Language Image Pre-Training, section
    3.2, which sums it over all pairs and divides by the number of images.

    Args:
        logits: Logits of images and phrases.
        fits: Whether each phrase fits each image.

    >>> logits = jnp.log(jnp.array([[4.0, 4.0]]))  # p = 0.8
    >>> [f"{loss:.4f}" for loss in sigmoid_pairs(logits, jnp.array([[True, False]]))[0]]
    ['0.2231', '1.6094']
    """
    signs = 2 * jnp.asarray(fits, jnp.float32) - 1
    return jax.nn.softplus(-signs * jnp.asarray(logits, jnp.float32))
