"""High-resolution features: what a patch is too coarse for, at a quarter and an eighth of the pixels.

[SAM 2](https://arxiv.org/abs/2408.00714) (section 4) and [HQ-SAM](https://arxiv.org/abs/2306.01567) hand such features
to the mask decoder, which adds them while it enlarges the image embedding; here a few convolutions make them, and the
transformer's tokens start with them.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sam_jax.models.fine.geodesics import StepCosts
from sam_jax.models.layers import NORM_EPSILON, LayerNorm, PatchConv
from sam_jax.ops.activations import gelu
from sam_jax.types import AnyArray

QUARTER, EIGHTH = 4, 8
"""Pixels a feature, down and across."""
BLOCKS = 2
"""Residual blocks at each size."""


class Details(NamedTuple):
    """High-resolution features of one image or several, in blocks: those of a place of the grid lie together.

    Attributes:
        eighth: Features at an eighth of the pixels, two by two (y, x) for each place of the grid.
        quarter: Features at a quarter of the pixels, two by two (y, x) for each of those.
    """

    eighth: Float[Array, "*places 2 2 d4"]
    quarter: Float[Array, "*places 2 2 2 2 d8"]

    def at(self, places: Int[Array, "t 2"]) -> Float[Array, "t e"]:
        """Features of both sizes at rows and columns of a quarter of the pixels, of one image."""
        rows, columns = places[:, 0], places[:, 1]
        grid = rows // 4, columns // 4
        within = rows // 2 % 2, columns // 2 % 2
        deepest = rows % 2, columns % 2
        return jnp.concatenate(
            [self.eighth[*grid, *within], self.quarter[*grid, *within, *deepest]], axis=-1
        )


def to_blocks(eighth: Float[Array, "b h8 w8 d4"], quarter: Float[Array, "b h4 w4 d8"]) -> Details:
    """Maps at an eighth and a quarter of the pixels as details."""
    b, h8, w8, d4 = eighth.shape
    return Details(
        eighth.reshape(b, h8 // 2, 2, w8 // 2, 2, d4).swapaxes(2, 3), fold_quarter(quarter)
    )


def fold_quarter(quarter: Float[Array, "*b h4 w4 c"]) -> Float[Array, "*b gh gw 2 2 2 2 c"]:
    """A map at a quarter of the pixels, in blocks."""
    *images, h4, w4, c = quarter.shape
    blocks = quarter.reshape(-1, h4 // 4, 2, 2, w4 // 4, 2, 2, c).transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return blocks.reshape(*images, h4 // 4, w4 // 4, 2, 2, 2, 2, c)


class ResidualBlock(nn.Module):
    """Two convolutions over neighbours on normalised input, added to what came in."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        width = x.shape[-1]
        inner = LayerNorm(NORM_EPSILON, self.dtype, name="norm")(x)
        inner = gelu(nn.Conv(width, (3, 3), dtype=self.dtype, name="conv1")(inner))
        return x + nn.Conv(width, (3, 3), dtype=self.dtype, name="conv2")(inner)


class DetailEncoder(nn.Module):
    """Convolutions over pixels.

    Attributes:
        width: Channels at a quarter of the pixels; an eighth of the pixels has twice as many.
        cost_kinds: Number of costs of a step between neighbours, for geodesic distances.
        patch_size: Side of the transformer's patches in pixels.
        token_width: Width of the transformer's tokens.
        out_channels: Width of the image embedding.
        dtype: Dtype of activations and products.
    """

    width: int
    cost_kinds: int
    patch_size: int
    token_width: int
    out_channels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, pixels: Float[AnyArray, "b h w 3"]
    ) -> tuple[Float[Array, "b gh gw d"], Details, Float[Array, "b h4 w4 both"]]:
        """What is added to the embedded patches; and for the mask decoder the details and the costs of steps."""
        dtype = self.dtype
        x = PatchConv(QUARTER, self.width, dtype, name="stem")(pixels)
        for index in range(BLOCKS):
            x = ResidualBlock(dtype, name=f"quarter_{index}")(x)
        quarter = LayerNorm(NORM_EPSILON, dtype, name="quarter_norm")(x)
        x = PatchConv(EIGHTH // QUARTER, 2 * self.width, dtype, name="to_eighth")(quarter)
        for index in range(BLOCKS):
            x = ResidualBlock(dtype, name=f"eighth_{index}")(x)
        eighth = LayerNorm(NORM_EPSILON, dtype, name="eighth_norm")(x)
        tokens = PatchConv(self.patch_size // EIGHTH, self.token_width, dtype, name="to_tokens")(
            eighth
        )
        eighth = nn.Dense(self.out_channels // 4, dtype=dtype, name="eighth_out")(eighth)
        of_quarter = nn.Dense(self.out_channels // 8, dtype=dtype, name="quarter_out")(quarter)
        costs = StepCosts(self.cost_kinds, dtype, name="step_costs")(pixels, quarter)
        return tokens, to_blocks(eighth, of_quarter), costs
