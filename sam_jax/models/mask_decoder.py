"""The mask decoder: from image embedding and prompt to masks and their estimated IoU (SAM, section 3 and appendix A).

Everything here sees one prompt; `sam_jax.models.sam` maps it over prompts and images.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.click_maps import map_clicks
from sam_jax.models.details import Details, fold_quarter
from sam_jax.models.geodesics import LABELS, Mixture, mix_distances
from sam_jax.models.layers import NORM_EPSILON, LayerNorm, TokenMLP
from sam_jax.models.mask_scoring import MaskScoring
from sam_jax.models.transformer import TwoWayTransformer
from sam_jax.ops.activations import gelu
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class MaskDecoderConfig:
    """Sizes of the mask decoder.

    Attributes:
        width: of the transformer; the image embedding's.
        depth, num_heads, mlp_width: of the transformer.
        iou_head_depth, iou_head_width: layers and hidden width of the IoU prediction.
        num_multimask_outputs: masks for an ambiguous prompt, beside the one for an unambiguous prompt.
        click_maps: whether maps of the distance from the clicks are taken in (`sam_jax.models.click_maps`); SAM has
            none.
        mask_scoring: whether masks are looked at to correct their predicted IoU (`sam_jax.models.mask_scoring`); SAM's
            are not.
    """

    width: int = 256
    depth: int = 2
    num_heads: int = 8
    mlp_width: int = 2048
    iou_head_depth: int = 3
    iou_head_width: int = 256
    num_multimask_outputs: int = 3
    click_maps: bool = False
    mask_scoring: bool = False

    def __post_init__(self) -> None:
        if self.width % (2 * self.num_heads) or self.width % 8:
            raise InputError(
                f"width {self.width} must be divisible by 8 and by twice num_heads {self.num_heads}"
            )


class PatchTransposedConv(nn.Module):
    """A 2×2 transposed convolution of stride 2, whose four results for a place stay beside each other."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*places d"]) -> Float[Array, "*places 2 2 c"]:
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (2, 2, x.shape[-1], self.features)
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        matrix = kernel.astype(self.dtype).transpose(2, 0, 1, 3).reshape(x.shape[-1], -1)
        out = (x @ matrix).reshape(*x.shape[:-1], 2, 2, self.features)
        return out + bias.reshape((1,) * (out.ndim - 1) + (-1,))


class OutputUpscaling(nn.Module):
    """Enlarges the image embedding by four; the result is left in 4×4 blocks, one for each place of the grid."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "s d"],
        eighth: Float[Array, "gh gw 2 2 e"] | None,
        quarter: Float[Array, "gh gw 2 2 2 2 c"] | None,
    ) -> Float[Array, "s 2 2 2 2 c"]:
        x = PatchTransposedConv(self.width // 4, self.dtype, name="conv1")(image)
        if eighth is not None:
            x = x + eighth.reshape(x.shape).astype(x.dtype)
        x = gelu(LayerNorm(NORM_EPSILON, self.dtype, name="norm1")(x))
        x = PatchTransposedConv(self.width // 8, self.dtype, name="conv2")(x)
        if quarter is not None:
            x = x + quarter.reshape(x.shape).astype(x.dtype)
        return gelu(x)


class MaskDecoder(nn.Module):
    """Predicts the masks of one prompt.

    Attributes:
        config: sizes.
        has_details: whether the image comes with details, which the clicks' tokens and the enlarged embedding take in.
        step_costs: kinds of cost over which prompts come with the geodesic distances from their clicks.
        dtype: of activations and products.
    """

    config: MaskDecoderConfig
    has_details: bool
    step_costs: int
    dtype: jnp.dtype

    def setup(self) -> None:
        config, dtype = self.config, self.dtype
        num_masks = config.num_multimask_outputs + 1
        self.iou_token = self.param("iou_token", nn.initializers.normal(1.0), (config.width,))
        self.mask_tokens = self.param(
            "mask_tokens", nn.initializers.normal(1.0), (num_masks, config.width)
        )
        self.transformer = TwoWayTransformer(
            config.depth, config.width, config.num_heads, config.mlp_width, dtype
        )
        if self.has_details:
            self.click_details = nn.Dense(config.width, dtype=dtype)
        if config.click_maps:
            self.click_maps_tokens = nn.Dense(config.width, dtype=dtype)
            self.click_maps_quarter = nn.Dense(config.width // 8, dtype=dtype)
        if self.step_costs:
            self.geodesics_tokens = Mixture(self.step_costs, config.width)
            self.geodesics_quarter = Mixture(self.step_costs, config.width // 8)
        if config.mask_scoring:
            self.mask_scoring = MaskScoring(num_masks, dtype)
        self.output_upscaling = OutputUpscaling(config.width, dtype)
        self.output_hypernetworks_mlps = [
            TokenMLP(config.width, config.width // 8, 3, dtype) for _ in range(num_masks)
        ]
        self.iou_prediction_head = TokenMLP(
            config.iou_head_width, num_masks, config.iou_head_depth, dtype
        )

    def __call__(
        self,
        image: Float[Array, "gh gw d"],
        details: Details | None,
        positions: Float[Array, "gh gw d"],
        tokens: Float[Array, "t d"],
        present: Bool[Array, " t"],
        clicks: Int[Array, "t 3"],
        costs: Float[Array, "h4 w4 both"] | None,
        distances: Float[Array, "2 k h4 w4"] | None,
        *,
        multimask_output: bool,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Mask logits at four times the grid, and the predicted IoU of each.

        Args:
            image: image embedding with the prompt's dense map added.
            details: of the image, if the encoder gives them.
            positions: positional encoding of the grid.
            tokens: of the prompt.
            present: which of `tokens` take part.
            clicks: row and column at a quarter of the pixels, and label, of tokens that are clicks; else -1.
            costs: of steps between neighbours, if the encoder gives them.
            distances: from the clicks over those costs.
            multimask_output: three masks for an ambiguous prompt; else one, for several prompts together.
        """
        gh, gw, width = image.shape
        if details is not None:
            clicked = self.click_details(details.at(jnp.maximum(clicks[:, :2], 0)))
            tokens = tokens + jnp.where(clicks[:, :1] >= 0, clicked, 0).astype(tokens.dtype)
        quarter = None if details is None else details.quarter
        if self.config.click_maps:
            maps = map_clicks(clicks, (gh, gw)).astype(image.dtype)
            image = image + self.click_maps_tokens(maps.mean(axis=(2, 3, 4, 5)))
            marked = self.click_maps_quarter(maps)
            quarter = marked if quarter is None else quarter + marked
        if distances is not None:
            of_tokens, of_quarter = mix_distances(
                distances,
                jnp.stack([(clicks[:, 2] == label).any() for label in LABELS]),
                self.geodesics_tokens(),
                self.geodesics_quarter(),
            )
            image = image + of_tokens.astype(image.dtype)
            reached = fold_quarter(of_quarter.astype(image.dtype)[None])[0]
            quarter = reached if quarter is None else quarter + reached
        own = jnp.concatenate([self.iou_token[None], self.mask_tokens])
        everyone = jnp.concatenate([own, tokens.astype(own.dtype)]).astype(self.dtype)
        present = jnp.concatenate([jnp.ones(own.shape[0], bool), present])
        out, image_out = self.transformer(
            everyone,
            image.reshape(gh * gw, width).astype(self.dtype),
            positions.reshape(gh * gw, width).astype(self.dtype),
            present,
        )
        hypernetworks = self.output_hypernetworks_mlps
        if self.is_initializing():
            hypernetworks[0](out[1])
        chosen = list(range(1, len(hypernetworks)) if multimask_output else range(1))
        filters = jnp.stack([hypernetworks[i](out[1 + i]) for i in chosen])
        blocks = self.output_upscaling(
            image_out, None if details is None else details.eighth, quarter
        )
        logits = jnp.einsum(
            "syxvuc,mc->msyvxu", blocks, filters, preferred_element_type=jnp.float32
        )
        logits = logits.reshape(-1, gh, gw, 4, 4).swapaxes(2, 3).reshape(-1, 4 * gh, 4 * gw)
        iou = self.iou_prediction_head(out[0])[jnp.asarray(chosen)]
        if self.config.mask_scoring and costs is not None and distances is not None:
            iou = iou + self.mask_scoring(logits, iou, chosen, costs, distances)
        return logits, iou.astype(jnp.float32)
