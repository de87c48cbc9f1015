"""The masked autoencoder: an encoder that sees some patches, and a decoder that paints the others.

The encoder's blocks are those of `sam_jax.models.image_encoder`, with plain attention over all visible patches.

Source: [Masked Autoencoders Are Scalable Vision Learners](https://arxiv.org/abs/2111.06377), section 3 and appendix A.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.models.blocks import repeat_blocks
from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.models.image_encoder import Block, ImageEncoderConfig, scan_blocks
from sam_jax.models.layers import NORM_EPSILON, LayerNorm, PatchConv
from sam_jax.ops.arguments import check_counts, check_finite, check_number, check_size
from sam_jax.ops.patches import PatchMask, mask_patches, patchify, sine_cosine_positions
from sam_jax.types import AnyArray, InputError, Variables


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a plain transformer.

    Attributes:
        width: Width of the tokens, a multiple of 4 and of `num_heads`.
        depth: Number of blocks.
        num_heads: Number of attention heads of a block.
        mlp_ratio: Hidden width of a block's MLP, divided by `width`.
    """

    width: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        check_finite(self)
        check_counts(self, "width", "depth", "num_heads")
        check_number("mlp_ratio", self.mlp_ratio, least=0)
        if self.width % 4 or self.width % self.num_heads:
            raise InputError(
                f"width {self.width} is a multiple of 4 and of num_heads {self.num_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class MaeConfig:
    """Sizes of a masked autoencoder.

    Attributes:
        image_size: Height and width of the images in pixels, multiples of `patch_size`.
        patch_size: Side of a patch in pixels.
        encoder: Sizes of the encoder.
        decoder: Sizes of the decoder.
    """

    image_size: tuple[int, int] = (224, 224)
    patch_size: int = 16
    encoder: TransformerConfig
    decoder: TransformerConfig = TransformerConfig(width=512, depth=8, num_heads=16)

    def __post_init__(self) -> None:
        check_counts(self, "patch_size")
        check_size("image_size", self.image_size)
        if any(side < self.patch_size or side % self.patch_size for side in self.image_size):
            height, width = self.image_size
            raise InputError(
                f"image_size {height}x{width} (height x width) must be multiples of the patch size, {self.patch_size}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of patches down and across, (gh, gw)."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size


MAE_VIT_B = MaeConfig(encoder=TransformerConfig(width=768, depth=12, num_heads=12))
"""The masked autoencoder of ViT-B."""
MAE_VIT_L = MaeConfig(encoder=TransformerConfig(width=1024, depth=24, num_heads=16))
"""The masked autoencoder of ViT-L."""
MAE_VIT_H = MaeConfig(patch_size=14, encoder=TransformerConfig(width=1280, depth=32, num_heads=16))
"""The masked autoencoder of ViT-H, whose patches have 14 pixels."""
MAE_TINY = MaeConfig(
    image_size=(128, 128),
    encoder=TransformerConfig(width=192, depth=8, num_heads=6),
    decoder=TransformerConfig(width=128, depth=2, num_heads=4),
)
"""The masked autoencoder of the small model's encoder."""


class PlainAttention(nn.Module):
    """Multi-head attention of all tokens to all tokens."""

    config: ImageEncoderConfig
    compute: Compute

    @nn.compact
    def __call__(self, x: Float[Array, "b one t d"]) -> Float[Array, "b one t d"]:
        config, dtype = self.config, self.compute.jax_dtype
        b, one, t, width = x.shape
        qkv = nn.Dense(3 * width, dtype=dtype, name="qkv")(x)
        q, k, v = jnp.moveaxis(qkv.reshape(b, t, 3, config.num_heads, config.head_width), 2, 0)
        mixed = jax.nn.dot_product_attention(q, k, v)
        return nn.Dense(width, dtype=dtype, name="proj")(mixed.reshape(b, one, t, width))


class PlainBlock(Block):
    """A block of Segment Anything's encoder with plain attention; tokens are a grid of one row."""

    def make_attention(self) -> nn.Module:
        """The layer that mixes tokens."""
        return PlainAttention(self.config, self.compute)


def make_blocks(config: TransformerConfig, compute: Compute) -> list[PlainBlock]:
    """The blocks of a plain transformer."""
    sizes = ImageEncoderConfig(
        width=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        global_blocks=(),
    )
    block_class = nn.remat(PlainBlock) if compute.remat else PlainBlock
    return [block_class(sizes, compute, is_global=True) for _ in range(config.depth)]


def run_blocks(
    blocks: Sequence[PlainBlock], x: Float[Array, "b t d"], *, as_loop: bool
) -> Float[Array, "b t d"]:
    """Tokens through all blocks, one after another or as one compiled loop."""
    row = x[:, None]
    if as_loop and len(blocks) > 1:
        return scan_blocks(blocks, row)[:, 0]
    for block in blocks:
        row = block(row)
    return row[:, 0]


class MaskedEncoder(nn.Module):
    """Turns the visible patches of images into tokens."""

    config: MaeConfig
    compute: Compute

    def setup(self) -> None:
        config, width, dtype = self.config, self.config.encoder.width, self.compute.jax_dtype
        self.patch_embed = PatchConv(config.patch_size, width, dtype)
        self.cls_token = self.param("cls_token", nn.initializers.normal(0.02), (width,))
        self.pos_embed = self.variable(
            "constants", "pos_embed", lambda: jnp.asarray(sine_cosine_positions(config.grid, width))
        )
        self.blocks = make_blocks(config.encoder, self.compute)
        self.norm = LayerNorm(NORM_EPSILON, dtype)

    def __call__(
        self, patches: Float[Array, "b patches pixels"], mask: PatchMask
    ) -> Float[Array, "b t d"]:
        side, dtype = self.config.patch_size, self.compute.jax_dtype
        seen = jnp.take_along_axis(patches, mask.visible[:, :, None], axis=1)
        b, count, _ = seen.shape
        # The visible patches side by side are an image too, which is all that the convolution needs to see.
        row = seen.reshape(b, count, side, side, 3).swapaxes(1, 2).reshape(b, side, -1, 3)
        positions = jnp.asarray(self.pos_embed.value, dtype)
        x = self.patch_embed(row)[:, 0] + positions[1:][mask.visible]
        first = (jnp.asarray(self.cls_token, dtype) + positions[0]).reshape(1, 1, -1)
        x = jnp.concatenate([jnp.broadcast_to(first, (b, 1, x.shape[-1])), x], axis=1)
        as_loop = self.compute.scan_blocks and not self.is_initializing()
        return self.norm(run_blocks(self.blocks, x, as_loop=as_loop))


class PatchDecoder(nn.Module):
    """Paints all patches from the tokens of the visible ones."""

    config: MaeConfig
    compute: Compute

    def setup(self) -> None:
        config, width, dtype = self.config, self.config.decoder.width, self.compute.jax_dtype
        self.embed = nn.Dense(width, dtype=dtype)
        self.mask_token = self.param("mask_token", nn.initializers.normal(0.02), (width,))
        self.pos_embed = self.variable(
            "constants", "pos_embed", lambda: jnp.asarray(sine_cosine_positions(config.grid, width))
        )
        self.blocks = make_blocks(config.decoder, self.compute)
        self.norm = LayerNorm(NORM_EPSILON, dtype)
        self.pred = nn.Dense(3 * config.patch_size**2, dtype=dtype)

    def __call__(
        self, tokens: Float[Array, "b t d"], mask: PatchMask
    ) -> Float[Array, "b patches pixels"]:
        dtype = self.compute.jax_dtype
        x = self.embed(tokens)
        b, patches = mask.places.shape
        hidden = jnp.broadcast_to(
            jnp.asarray(self.mask_token, dtype).reshape(1, 1, -1),
            (b, patches + 1 - x.shape[1], x.shape[2]),
        )
        shuffled = jnp.concatenate([x[:, 1:], hidden], axis=1)
        in_order = jnp.take_along_axis(shuffled, mask.places[:, :, None], axis=1)
        x = jnp.concatenate([x[:, :1], in_order], axis=1)
        x = x + jnp.asarray(self.pos_embed.value, dtype)[None]
        as_loop = self.compute.scan_blocks and not self.is_initializing()
        x = self.norm(run_blocks(self.blocks, x, as_loop=as_loop))
        return self.pred(x[:, 1:])


class Mae(nn.Module):
    """A masked autoencoder.

    Attributes:
        config: Sizes of the model.
        compute: Precision, and what is traded for memory.
    """

    config: MaeConfig
    compute: Compute = ON_CPU

    def setup(self) -> None:
        self.encoder = MaskedEncoder(self.config, self.compute)
        self.decoder = PatchDecoder(self.config, self.compute)

    def __call__(
        self, patches: Float[Array, "b patches pixels"], mask: PatchMask
    ) -> Float[Array, "b patches pixels"]:
        return self.decoder(self.encoder(patches, mask), mask)


class Reconstruction(NamedTuple):
    """What a masked autoencoder makes of images.

    Attributes:
        patches: Predicted patches, of pixels that are normalised in each patch if the model was trained so.
        removed: 1 for each patch that the encoder did not see, 0 for each that it saw.
    """

    patches: Float[Array, "b patches pixels"]
    removed: Float[Array, "b patches"]


@flax.struct.dataclass
class MaskedAutoencoder:
    """A masked autoencoder with its weights: a pytree that passes through `jax.jit` and friends.

    Attributes:
        config: Sizes of the model.
        variables: Weights of the model.
        compute: Precision, and what is traded for memory.
    """

    config: MaeConfig = flax.struct.field(pytree_node=False)
    variables: Variables = flax.struct.field()
    compute: Compute = flax.struct.field(pytree_node=False, default=ON_CPU)


def reconstruct(
    model: MaskedAutoencoder,
    pixels: Float[AnyArray, "b h w 3"],
    noise: Float[AnyArray, "b patches"],
    *,
    mask_ratio: float = 0.75,
) -> Reconstruction:
    """Remove patches of images, and paint them from the rest.

    Args:
        model: Model with its weights.
        pixels: Normalised images, from `sam_jax.data.framing.normalise`.
        noise: A number for each patch; those with the most noise are removed.
        mask_ratio: Share of the patches to remove, in [0, 1).

    Raises:
        InputError: The images have another size than the model's.
    """
    if pixels.shape[1:3] != model.config.image_size:
        raise InputError(
            f"the model takes images of {model.config.image_size} (h, w), not {pixels.shape[1:3]}"
        )
    mask = mask_patches(noise, mask_ratio)
    patches = patchify(pixels, model.config.patch_size)
    painted: Array = Mae(model.config, model.compute).apply(model.variables, patches, mask)  # pyright: ignore[reportAssignmentType]
    return Reconstruction(painted, mask.removed)


def abstract_mae(config: MaeConfig) -> Variables:
    """Shapes and dtypes of a masked autoencoder's weights."""
    patches = jnp.zeros((1, config.grid[0] * config.grid[1], 3 * config.patch_size**2))
    mask = mask_patches(jnp.zeros(patches.shape[:2]), 0.5)
    parts = {"encoder": config.encoder, "decoder": config.decoder}
    short = replace(config, **{name: replace(part, depth=1) for name, part in parts.items()})
    variables: Any = jax.eval_shape(Mae(short).init, jax.random.key(0), patches, mask)
    for name, part in parts.items():
        repeat_blocks(variables["params"][name], [False] * part.depth)
    return jax.tree.map(lambda leaf: leaf, variables)  # no dict is in it twice
