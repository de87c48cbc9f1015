"""The image encoder with high-resolution features and costs beside the image embedding."""

from typing import NamedTuple

from jaxtyping import Array, Float

from sam_jax.models.config import FineConfig
from sam_jax.models.fine.details import DetailEncoder, Details
from sam_jax.models.image_encoder import ImageEncoder
from sam_jax.types import AnyArray


class FineEmbedding(NamedTuple):
    """Image embeddings of the fine model.

    Attributes:
        image: Image embeddings as Segment Anything has them.
        details: High-resolution features.
        costs: Costs of the steps to the right, of all kinds, then of those downwards, at a quarter of the pixels.
    """

    image: Float[Array, "*images gh gw d"]
    details: Details
    costs: Float[Array, "*images h4 w4 both"]


class FineImageEncoder(ImageEncoder):
    """Turns normalised, padded images into image embeddings with high-resolution features.

    Attributes:
        fine: Sizes of the additions.
    """

    fine: FineConfig

    def setup(self) -> None:
        super().setup()
        config = self.config
        self.details = DetailEncoder(
            self.fine.width,
            self.fine.cost_kinds,
            config.patch_size,
            config.width,
            config.out_channels,
            self.compute.jax_dtype,
        )

    def embed(
        self,
        pixels: Float[AnyArray, "b h w 3"],
        branches: Float[Array, "depth b 2"] | None = None,
    ) -> FineEmbedding:
        """Image embeddings; the arguments are those of `ImageEncoder`."""
        patches = self.embed_patches(pixels)
        tokens, details, costs = self.details(pixels)
        return FineEmbedding(self.transform(patches + tokens, branches), details, costs)
