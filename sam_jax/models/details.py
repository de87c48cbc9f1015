"""What a patch is too coarse for: features at a quarter and an eighth of the pixels, past the transformer.

SAM 2 (Ravi et al. 2024, section 4) and HQ-SAM (Ke et al. 2023) hand such features to the mask decoder, which adds them
while it enlarges the image embedding; here a few convolutions make them, and the transformer's tokens start with them.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sam_jax.models.geodesics import StepCosts
from sam_jax.models.layers import NORM_EPSILON, LayerNorm, PatchConv
from sam_jax.ops.activations import gelu
from sam_jax.types import AnyArray

QUARTER, EIGHTH = 4, 8
"""Pixels a feature, down and across."""
BLOCKS = 2
"""Residual blocks at each size."""


class Details(NamedTuple):
    """Of one image or several, in blocks: the features of every place of the grid lie beside each other.

    Attributes:
        eighth: two by two (y, x) for a place.
        quarter: two by two of those, two by two (y, x, then y and x within).
    """

    eighth: Float[Array, "*places 2 2 d4"]
    quarter: Float[Array, "*places 2 2 2 2 d8"]

    def at(self, places: Int[Array, "t 2"]) -> Float[Array, "t e"]:
        """The features of both sizes at rows and columns of a quarter of the pixels, of one image."""
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


def fold_quarter(quarter: Float[Array, "b h4 w4 c"]) -> Float[Array, "b gh gw 2 2 2 2 c"]:
    """A map at a quarter of the pixels, in blocks."""
    b, h4, w4, c = quarter.shape
    return quarter.reshape(b, h4 // 4, 2, 2, w4 // 4, 2, 2, c).transpose(0, 1, 4, 2, 5, 3, 6, 7)


def unfold_quarter(blocks: Float[Array, "gh gw 2 2 2 2 c"]) -> Float[Array, "h4 w4 c"]:
    """The opposite, of one image."""
    gh, gw, *_, c = blocks.shape
    return blocks.transpose(0, 2, 4, 1, 3, 5, 6).reshape(4 * gh, 4 * gw, c)


def pack(details: Details) -> Float[Array, "*places packed"]:
    """All features of a place as channels, so that an image embedding can carry them along."""
    places = details.eighth.shape[:-3]
    return jnp.concatenate([part.reshape(*places, -1) for part in details], axis=-1)


def unpack(packed: Float[Array, "*places packed"], width: int) -> Details:
    """What `pack` packed, for a mask decoder of that width."""
    places = packed.shape[:-1]
    eighth, quarter = jnp.split(packed, [width], axis=-1)
    return Details(
        eighth.reshape(*places, 2, 2, width // 4),
        quarter.reshape(*places, 2, 2, 2, 2, width // 8),
    )


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
        width: channels at a quarter of the pixels; twice as many at an eighth.
        step_costs: kinds of cost of a step between neighbours, for geodesic distances.
        patch_size, token_width: of the transformer.
        out_channels: of the image embedding.
    """

    width: int
    step_costs: int
    patch_size: int
    token_width: int
    out_channels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, pixels: Float[AnyArray, "b h w 3"]
    ) -> tuple[Float[Array, "b gh gw d"], Float[Array, "b gh gw packed"]]:
        """What is added to the embedded patches, and for the mask decoder the packed details, then the step costs."""
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
        packed = pack(
            to_blocks(
                eighth, nn.Dense(self.out_channels // 8, dtype=dtype, name="quarter_out")(quarter)
            )
        )
        if self.step_costs:
            costs = StepCosts(self.step_costs, dtype, name="step_costs")(pixels, quarter)
            costs = fold_quarter(costs)
            packed = jnp.concatenate([packed, costs.reshape(*packed.shape[:-1], -1)], axis=-1)
        return tokens, packed
