"""Segment Anything with the additions of the shipped small model."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sam_jax.models.fine.geodesics import measure_distances
from sam_jax.models.fine.image_encoder import FineEmbedding, FineImageEncoder
from sam_jax.models.fine.mask_decoder import FineMaskDecoder, FinePrompts
from sam_jax.models.sam import Sam
from sam_jax.types import AnyArray, PointLabel, Prompts

QUARTER = 4
"""Pixels of the padded input along the side of a place that clicks are counted in."""


class FineSam(Sam):
    """A `Sam` whose encoder and decoder have the additions that `config.fine` asks for."""

    def setup(self) -> None:
        config, fine = self.config, self.config.fine
        assert fine is not None
        self.image_encoder = FineImageEncoder(config.image_encoder, self.compute, fine)
        self.prompt_encoder = self.make_prompt_encoder()
        self.mask_decoder = FineMaskDecoder(config.mask_decoder, self.compute.jax_dtype, fine)

    def encode_image(
        self,
        pixels: Float[AnyArray, "b h w 3"],
        branches: Float[Array, "depth b 2"] | None = None,
    ) -> FineEmbedding:
        """Image embeddings of normalised, padded images; see `ImageEncoder`."""
        return self.image_encoder.embed(pixels, branches)

    def encode_prompts(self, prompts: Prompts) -> FinePrompts:
        """Tokens, dense maps and clicks of prompts; no image is needed."""
        clicks = find_clicks(prompts, self.config.image_encoder.image_size)
        if prompts.text is not None:  # Its token is no click.
            clicks = jnp.pad(clicks, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=-1)
        return FinePrompts(*self.prompt_encoder(prompts), clicks)

    def decode_prompt(
        self,
        image: FineEmbedding,
        positions: Float[Array, "gh gw d"],
        prompt: FinePrompts,
        *,
        multimask_output: bool | None,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Mask logits and predicted IoU of one prompt of one image; see `Sam.decode_prompt`."""
        return self.mask_decoder.decode(image, positions, prompt, multimask_output=multimask_output)

    @staticmethod
    def relate(image: FineEmbedding, prompts: FinePrompts) -> FinePrompts:
        """Prompts of one image, with the distances from their clicks along the image."""
        return prompts._replace(distances=measure_distances(prompts.clicks, image.costs))

    @staticmethod
    def features_of(embedding: FineEmbedding) -> Float[Array, "b gh gw d"]:
        """The part of image embeddings that every Segment Anything has."""
        return embedding.image


def find_clicks(prompts: Prompts, image_size: tuple[int, int]) -> Int[Array, "b n p 3"]:
    """Row and column at a quarter of the pixels, and label, of points that are clicks; -1 for other points."""
    sides = np.array(image_size, np.int32).reshape(1, 1, 1, 2) // QUARTER
    places = jnp.floor(prompts.points[..., ::-1] / QUARTER).astype(jnp.int32)
    labels = prompts.labels
    is_click = (labels == PointLabel.BACKGROUND) | (labels == PointLabel.FOREGROUND)
    clicks = jnp.concatenate([jnp.clip(places, 0, sides - 1), labels[..., None]], axis=-1)
    return jnp.where(is_click[..., None], clicks, -1)
