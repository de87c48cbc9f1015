"""Segment Anything as one Flax module: image encoder, prompt encoder, mask decoder.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 3.
"""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.models.config import SamConfig
from sam_jax.models.image_encoder import ImageEncoder
from sam_jax.models.mask_decoder import MaskDecoder
from sam_jax.models.prompt_encoder import PromptEncoder
from sam_jax.types import AnyArray, EncodedPrompts, ImageEmbedding, InputError, Prompts


class Sam(nn.Module):
    """Segment Anything; `sam_jax.models.decode_masks` and its like run it over batches.

    Attributes:
        config: Sizes of the model.
        compute: Precision, and what is traded for memory.
    """

    config: SamConfig
    compute: Compute = ON_CPU

    def setup(self) -> None:
        config = self.config
        if config.fine is not None:
            raise InputError("a model with `fine` is no Segment Anything: build it with make_sam")
        self.image_encoder = ImageEncoder(config.image_encoder, self.compute)
        self.prompt_encoder = self.make_prompt_encoder()
        self.mask_decoder = MaskDecoder(config.mask_decoder, self.compute.jax_dtype)

    def __call__(
        self, pixels: Float[AnyArray, "1 h w 3"], prompts: Prompts, *, multimask_output: bool
    ) -> tuple[Float[Array, "m h_low w_low"], Float[Array, " m"]]:
        """Mask logits and predicted IoU of the only prompt of one image: the three steps in a row.

        Flax's `init` creates all weights from it if the prompt has a mask, and text where the config is for text.
        """

        def first(batch: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[0], batch)

        image, of_image = first(self.encode_image(pixels)), first(self.encode_prompts(prompts))
        prompt = first(self.relate(image, of_image))
        return self.decode_prompt(
            image, self.encode_grid(), prompt, multimask_output=multimask_output
        )

    def make_prompt_encoder(self) -> PromptEncoder:
        """The prompt encoder, which knows the padded input and its grid."""
        config = self.config
        return PromptEncoder(
            config.prompt_encoder,
            config.image_encoder.image_size,
            config.image_encoder.grid,
            self.compute.jax_dtype,
        )

    def encode_image(
        self,
        pixels: Float[AnyArray, "b h w 3"],
        branches: Float[Array, "depth b 2"] | None = None,
    ) -> ImageEmbedding:
        """Image embeddings of normalised, padded images; see `ImageEncoder`."""
        return self.image_encoder(pixels, branches)

    def encode_prompts(self, prompts: Prompts) -> EncodedPrompts:
        """Tokens and dense maps of prompts; no image is needed."""
        return self.prompt_encoder(prompts)

    def encode_grid(self) -> Float[Array, "gh gw d"]:
        """Positional encoding of the image embedding's places."""
        return self.prompt_encoder.encode_grid()

    def decode_prompt(
        self,
        image: ImageEmbedding,
        positions: Float[Array, "gh gw d"],
        prompt: EncodedPrompts,
        *,
        multimask_output: bool | None,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Mask logits and predicted IoU of one prompt of one image.

        Args:
            image: Embedding of the image, without an axis for images.
            positions: Positional encoding of the grid, from `encode_grid`.
            prompt: The prompt's part of what `encode_prompts` and `relate` give, without axes for images and prompts.
            multimask_output: Whether to give three masks, for an ambiguous prompt, or one; None for all, the one first.
        """
        return self.mask_decoder(
            image + prompt.dense.astype(image.dtype),
            positions,
            prompt.tokens,
            prompt.present,
            multimask_output=multimask_output,
        )

    @staticmethod
    def relate(image: ImageEmbedding, prompts: EncodedPrompts) -> EncodedPrompts:
        """Prompts of one image, with what is computed for all of them together; in Segment Anything, nothing is."""
        return prompts

    @staticmethod
    def features_of(embedding: ImageEmbedding) -> Float[AnyArray, "b gh gw d"]:
        """The part of image embeddings that every Segment Anything has."""
        return embedding
