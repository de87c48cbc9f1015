"""CLIP as one Flax module: two towers whose features meet in one space, and the scale of their products."""

import math
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.blocks import repeat_blocks
from sam_jax.models.clip.config import ClipConfig
from sam_jax.models.clip.towers import ImageTower, TextTower
from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.ops.normalisation import to_unit_length
from sam_jax.types import AnyArray, Variables

FIRST_SCALE = 1 / 0.07
"""Scale of the logits before training, of CLIP (section 2.5)."""
FIRST_SIGMOID_SCALE, FIRST_SIGMOID_BIAS = 10.0, -10.0
"""Scale and bias of the logits before training by the sigmoid loss ([Zhai et al.
2023](https://arxiv.org/abs/2303.15343), section 3.3).

From there, training begins by bringing together what fits. From a bias of -2 it began by driving images and phrases
apart, to opposite sides of the sphere, where the embedding of a crop cannot stand for a phrase's."""


class Clip(nn.Module):
    """CLIP; `embed_tokens` and `embed_pixels` of `sam_jax.models.clip.model` run it with its weights.

    Attributes:
        config: Sizes of the model.
        compute: Precision.
    """

    config: ClipConfig
    compute: Compute = ON_CPU

    def setup(self) -> None:
        config = self.config
        self.text = TextTower(config.text, config.width, self.compute)
        self.image = ImageTower(config.image, config.width, self.compute)
        scale = FIRST_SIGMOID_SCALE if config.has_logit_bias else FIRST_SCALE
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(math.log(scale)), ())
        if config.has_logit_bias:
            self.logit_bias = self.param(
                "logit_bias", nn.initializers.constant(FIRST_SIGMOID_BIAS), ()
            )
        if config.has_prompt_shift:
            self.prompt_shift = self.param("prompt_shift", nn.initializers.zeros, (config.width,))

    def __call__(
        self, pixels: Float[AnyArray, "n h w 3"], tokens: Int[AnyArray, "m t"]
    ) -> Float[Array, "n m"]:
        """Logits of every image and phrase. Flax's `init` creates all weights from it."""
        images, phrases = self.encode_image(pixels), self.encode_text(tokens)
        return self.compare(to_unit_length(images), to_unit_length(phrases))

    def encode_text(self, tokens: Int[AnyArray, "n t"]) -> Float[Array, "n d"]:
        """Features of phrases, projected and not yet of unit length.

        Args:
            tokens: Tokens of each phrase, from a `ClipTokeniser`.
        """
        return self.text(tokens)

    def encode_image(
        self, pixels: Float[AnyArray, "n h w 3"], patches: Bool[AnyArray, "n gh gw"] | None = None
    ) -> Float[Array, "n d"]:
        """Features of images, projected and not yet of unit length.

        Args:
            pixels: Images of the model's size, normalised by CLIP's mean and standard deviation.
            patches: Patches to which the attention of the last block is confined, beside the class token itself, as the
                patches of one object (Segment Anything, appendix D.5); None for all.
        """
        return self.image(pixels, patches)

    def compare(
        self, images: Float[AnyArray, "n d"], phrases: Float[AnyArray, "m d"]
    ) -> Float[Array, "n m"]:
        """Logits of every image and phrase, in float32.

        Args:
            images: Features of images, of unit length.
            phrases: Features of phrases, of unit length.
        """
        products = jnp.einsum(
            "nd,md->nm", jnp.asarray(images, jnp.float32), jnp.asarray(phrases, jnp.float32)
        )
        logits = jnp.exp(self.logit_scale.astype(jnp.float32)) * products
        if self.config.has_logit_bias:
            logits = logits + self.logit_bias.astype(jnp.float32)
        return logits


def abstract_clip(config: ClipConfig) -> Variables:
    """Shapes and dtypes of CLIP's weights; nothing is computed."""
    pixels = jnp.zeros((1, *config.image.image_size, 3))
    tokens = jnp.zeros((1, config.text.context), jnp.int32)
    towers = {"text": config.text, "image": config.image}
    short = replace(config, **{name: replace(tower, depth=1) for name, tower in towers.items()})
    variables: Any = jax.eval_shape(Clip(short).init, jax.random.key(0), pixels, tokens)
    for name, tower in towers.items():
        repeat_blocks(variables["params"][name], [False] * tower.depth)
    return jax.tree.map(lambda leaf: leaf, variables)  # no dict is in it twice
