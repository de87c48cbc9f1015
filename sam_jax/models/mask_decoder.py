"""The mask decoder: from image embedding and prompt to masks and their predicted IoU.

Everything here sees one prompt; `sam_jax.models.decode_masks` maps it over prompts and images. Source:
[Segment Anything](https://arxiv.org/abs/2304.02643), section 3 and appendix A.
"""

from dataclasses import dataclass, fields

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.models.layers import NORM_EPSILON, LayerNorm, TokenMLP
from sam_jax.models.transformer import TwoWayTransformer
from sam_jax.ops.activations import gelu
from sam_jax.ops.arguments import check_counts
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class MaskDecoderConfig:
    """Sizes of the mask decoder.

    Attributes:
        width: Width of the transformer's tokens, which is the image embedding's.
        depth: Number of two-way blocks.
        num_heads: Number of attention heads.
        mlp_width: Hidden width of the MLP in a two-way block.
        iou_head_depth: Number of layers that predict the masks' IoU.
        iou_head_width: Hidden width of those layers.
        num_multimask_outputs: Number of masks for an ambiguous prompt, beside the one for an unambiguous prompt.
    """

    width: int = 256
    depth: int = 2
    num_heads: int = 8
    mlp_width: int = 2048
    iou_head_depth: int = 3
    iou_head_width: int = 256
    num_multimask_outputs: int = 3

    def __post_init__(self) -> None:
        check_counts(self, *(field.name for field in fields(self)))
        if self.width % (2 * self.num_heads) or self.width % 8:
            raise InputError(
                f"width {self.width} must be divisible by 8 and by twice num_heads {self.num_heads}"
            )


class PatchTransposedConv(nn.Module):
    """A 2×2 transposed convolution of stride 2, whose four results for a place stay beside each other.

    Attributes:
        features: Number of output channels.
        dtype: Dtype of the product.
    """

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
    """Enlarges the image embedding by four; the result is left in 4×4 blocks, one for each place of the grid.

    Attributes:
        width: Width of the image embedding.
        dtype: Dtype of activations and products.
    """

    width: int
    dtype: jnp.dtype

    def setup(self) -> None:
        self.conv1 = PatchTransposedConv(self.width // 4, self.dtype)
        self.norm1 = LayerNorm(NORM_EPSILON, self.dtype)
        self.conv2 = PatchTransposedConv(self.width // 8, self.dtype)

    def __call__(self, image: Float[Array, "s d"]) -> Float[Array, "s 2 2 2 2 c"]:
        return gelu(self.to_quarter(self.to_eighth(image)))

    def to_eighth(self, image: Float[Array, "s d"]) -> Float[Array, "s 2 2 e"]:
        """From the grid to an eighth of the pixels, before norm and activation."""
        return self.conv1(image)

    def to_quarter(self, eighth: Float[Array, "s 2 2 e"]) -> Float[Array, "s 2 2 2 2 c"]:
        """From an eighth to a quarter of the pixels, before the activation."""
        return self.conv2(gelu(self.norm1(eighth)))


class MaskDecoder(nn.Module):
    """Predicts the masks of one prompt.

    Attributes:
        config: Sizes of the mask decoder.
        dtype: Dtype of activations and products.
    """

    config: MaskDecoderConfig
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
        positions: Float[Array, "gh gw d"],
        tokens: Float[Array, "t d"],
        present: Bool[Array, " t"],
        *,
        multimask_output: bool | None,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Mask logits at four times the grid, and the predicted IoU of each mask.

        Args:
            image: Image embedding with the prompt's dense map added.
            positions: Positional encoding of the grid.
            tokens: Tokens of the prompt.
            present: Which of the tokens take part in attention.
            multimask_output: Whether to give three masks, for an ambiguous prompt, or one, for several prompts
                together; None for all, the one first.
        """
        out, image_out = self.attend(image, positions, tokens, present)
        gh, gw, _ = image.shape
        blocks = self.output_upscaling(image_out)
        return self.read_out(out, blocks, (gh, gw), multimask_output=multimask_output)

    def attend(
        self,
        image: Float[Array, "gh gw d"],
        positions: Float[Array, "gh gw d"],
        tokens: Float[Array, "t d"],
        present: Bool[Array, " t"],
    ) -> tuple[Float[Array, "all d"], Float[Array, "s d"]]:
        """What the two-way transformer makes of the decoder's own tokens, the prompt's tokens, and the image."""
        own = jnp.concatenate([self.iou_token[None], self.mask_tokens])
        return self.transformer(
            jnp.concatenate([own, tokens.astype(own.dtype)]).astype(self.dtype),
            image.reshape(-1, image.shape[-1]).astype(self.dtype),
            positions.reshape(-1, image.shape[-1]).astype(self.dtype),
            jnp.concatenate([jnp.ones(own.shape[0], bool), present]),
        )

    def read_out(
        self,
        tokens: Float[Array, "all d"],
        blocks: Float[Array, "s 2 2 2 2 c"],
        grid: tuple[int, int],
        *,
        multimask_output: bool | None,
    ) -> tuple[Float[Array, "m h w"], Float[Array, " m"]]:
        """Masks, as products of each mask token's filter with the enlarged image, and their predicted IoU."""
        wanted = self.masks_of(multimask_output)
        mlps = self.output_hypernetworks_mlps
        own = tokens[: 1 + len(mlps)]  # of a fixed number, whatever the number of prompt tokens
        filters = [mlp(token) for mlp, token in zip(mlps, own[1:], strict=True)]
        logits = jnp.einsum(
            "syxvuc,mc->msyvxu",
            blocks,
            jnp.stack(filters)[wanted],
            preferred_element_type=jnp.float32,
        )
        gh, gw = grid
        logits = logits.reshape(-1, gh, gw, 4, 4).swapaxes(2, 3).reshape(-1, 4 * gh, 4 * gw)
        return logits, self.iou_prediction_head(own[0])[wanted].astype(jnp.float32)

    def masks_of(self, multimask_output: bool | None) -> slice:
        """Which of the decoder's masks are asked for: the first is the one for several prompts together."""
        if multimask_output is None:
            return slice(None)
        return slice(1, None) if multimask_output else slice(0, 1)
