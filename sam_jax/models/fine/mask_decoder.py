"""The mask decoder that looks at high-resolution features, at distances from the clicks, and at its masks."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.config import FineConfig
from sam_jax.models.fine.click_maps import map_clicks
from sam_jax.models.fine.details import fold_quarter
from sam_jax.models.fine.geodesics import LABELS, Mixture, mix_distances
from sam_jax.models.fine.image_encoder import FineEmbedding
from sam_jax.models.fine.mask_scoring import MaskScoring
from sam_jax.models.mask_decoder import MaskDecoder
from sam_jax.ops.activations import gelu


class FinePrompts(NamedTuple):
    """Prompts as the fine model's decoder takes them.

    Attributes:
        tokens: Tokens of the points, boxes and text.
        present: Which tokens take part in attention.
        dense: Dense map that is added to the image embedding.
        clicks: Row and column at a quarter of the pixels, and label, of tokens that are clicks; -1 for other tokens.
        distances: Distances from foreground and from background clicks over each kind of cost; None before an image
            is known.
    """

    tokens: Float[Array, "*prompts t d"]
    present: Bool[Array, "*prompts t"]
    dense: Float[Array, "*prompts gh gw d"]
    clicks: Int[Array, "*prompts t 3"]
    distances: Float[Array, "*prompts 2 k h4 w4"] | None = None


class FineMaskDecoder(MaskDecoder):
    """Predicts the masks of one prompt.

    Attributes:
        fine: Sizes of the additions.
    """

    fine: FineConfig

    def setup(self) -> None:
        super().setup()
        width, kinds, dtype = self.config.width, self.fine.cost_kinds, self.dtype
        self.click_details = nn.Dense(width, dtype=dtype)
        self.click_maps_tokens = nn.Dense(width, dtype=dtype)
        self.click_maps_quarter = nn.Dense(width // 8, dtype=dtype)
        self.geodesics_tokens = Mixture(kinds, width)
        self.geodesics_quarter = Mixture(kinds, width // 8)
        self.mask_scoring = MaskScoring(self.config.num_multimask_outputs + 1, dtype)

    def decode(
        self,
        embedding: FineEmbedding,
        positions: Float[Array, "gh gw d"],
        prompt: FinePrompts,
        *,
        multimask_output: bool | None,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Mask logits at four times the grid, and the predicted IoU of each mask; see `MaskDecoder`."""
        assert prompt.distances is not None
        eighth, quarter = embedding.details
        gh, gw, _ = embedding.image.shape
        image = embedding.image + prompt.dense.astype(embedding.image.dtype)
        image, quarter = self._mark(image, quarter, prompt.clicks, prompt.distances)
        tokens = self._look(embedding, prompt)
        out, image_out = self.attend(image, positions, tokens, prompt.present)
        upscaling = self.output_upscaling
        x = upscaling.to_eighth(image_out)
        x = upscaling.to_quarter(x + eighth.reshape(x.shape).astype(x.dtype))
        x = gelu(x + quarter.reshape(x.shape).astype(x.dtype))
        logits, iou = self.read_out(out, x, (gh, gw), multimask_output=multimask_output)
        which = range(self.config.num_multimask_outputs + 1)[self.masks_of(multimask_output)]
        correction = self.mask_scoring(logits, iou, which, embedding.costs, prompt.distances)
        return logits, iou + correction.astype(iou.dtype)

    def _look(self, embedding: FineEmbedding, prompt: FinePrompts) -> Float[Array, "t d"]:
        """The prompt's tokens, with the high-resolution features under clicks added."""
        clicked = self.click_details(embedding.details.at(jnp.maximum(prompt.clicks[:, :2], 0)))
        is_click = prompt.clicks[:, :1] >= 0
        return prompt.tokens + jnp.where(is_click, clicked, 0).astype(prompt.tokens.dtype)

    def _mark(
        self,
        image: Float[Array, "gh gw d"],
        quarter: Float[Array, "gh gw 2 2 2 2 c"],
        clicks: Int[Array, "t 3"],
        distances: Float[Array, "2 k h4 w4"],
    ) -> tuple[Float[Array, "gh gw d"], Float[Array, "gh gw 2 2 2 2 c"]]:
        """The image embedding and the features at a quarter of the pixels, with the distances from clicks added."""
        gh, gw, _ = image.shape
        maps = map_clicks(clicks, (gh, gw)).astype(image.dtype)
        image = image + self.click_maps_tokens(maps.mean(axis=(2, 3, 4, 5)))
        quarter = quarter + self.click_maps_quarter(maps)
        of_tokens, of_quarter = mix_distances(
            distances,
            jnp.stack([(clicks[:, 2] == label).any() for label in LABELS]),
            self.geodesics_tokens(),
            self.geodesics_quarter(),
        )
        image = image + of_tokens.astype(image.dtype)
        return image, quarter + fold_quarter(of_quarter.astype(image.dtype))
