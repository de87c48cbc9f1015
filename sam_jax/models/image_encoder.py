"""The image encoder: a ViT with windowed and a few global attention blocks.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 3 and appendix A;
[ViTDet](https://arxiv.org/abs/2203.16527).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.models.compute import Compute
from sam_jax.models.layers import NORM_EPSILON, LayerNorm, PatchConv, Projection, TwoLayerMLP
from sam_jax.ops.activations import gelu
from sam_jax.ops.arguments import check_counts, check_finite, check_number, check_size
from sam_jax.ops.attention import attend_globally, attend_in_windows
from sam_jax.ops.batching import map_images, replace_in_batches
from sam_jax.ops.fused_attention import attend_fused, fits
from sam_jax.types import AnyArray, InputError


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """Sizes of the image encoder.

    Attributes:
        image_size: Height and width of the padded input in pixels, multiples of `patch_size`.
        patch_size: Side of a patch in pixels.
        width: Width of the transformer's tokens.
        depth: Number of the transformer's blocks.
        num_heads: Number of attention heads of a block.
        mlp_ratio: Hidden width of a block's MLP, divided by `width`.
        window_size: Side of an attention window in patches.
        global_blocks: Indices of the blocks that attend globally, in rising order.
        out_channels: Width of the image embedding.
    """

    image_size: tuple[int, int] = (1024, 1024)
    patch_size: int = 16
    width: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    window_size: int = 14
    global_blocks: tuple[int, ...]
    out_channels: int = 256

    def __post_init__(self) -> None:
        check_finite(self)
        check_counts(
            self, "patch_size", "width", "depth", "num_heads", "window_size", "out_channels"
        )
        check_number("mlp_ratio", self.mlp_ratio, least=0)
        check_size("image_size", self.image_size)
        if any(side < self.patch_size or side % self.patch_size for side in self.image_size):
            height, width = self.image_size
            raise InputError(
                f"image_size {height}x{width} (height x width) must be multiples of the patch size, {self.patch_size}"
            )
        if self.width % self.num_heads:
            raise InputError(f"width {self.width} is not divisible by num_heads {self.num_heads}")
        blocks = self.global_blocks
        if list(blocks) != sorted(set(blocks)) or not all(0 <= i < self.depth for i in blocks):
            raise InputError(f"global_blocks {blocks} must rise within 0..{self.depth - 1}")

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of patches down and across, (gh, gw)."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def head_width(self) -> int:
        """Width of an attention head."""
        return self.width // self.num_heads


class RelativeAttention(nn.Module):
    """Multi-head attention with decomposed relative position, in windows or over the whole grid."""

    config: ImageEncoderConfig
    compute: Compute
    is_global: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b gh gw d"]) -> Float[Array, "b gh gw d"]:
        config, compute, dtype = self.config, self.compute, self.compute.jax_dtype
        b, gh, gw, width = x.shape
        heads, d = config.num_heads, config.head_width
        kernel, bias = Projection(width, 3 * width, name="qkv")()
        qkv, bias = x @ kernel.astype(dtype), bias.astype(dtype)

        def relative_table(name: str, side: int) -> Array:
            table = self.param(name, nn.initializers.zeros, (2 * side - 1, d))
            return table.astype(dtype)

        grid = (gh, gw) if self.is_global else (config.window_size, config.window_size)
        tables = relative_table("rel_pos_h", grid[0]), relative_table("rel_pos_w", grid[1])
        kernel = compute.fused_kernel
        if kernel is not None and fits(kernel, d, grid):
            window = None if self.is_global else config.window_size
            mixed = attend_fused(qkv, bias, *tables, heads=heads, window=window, kernel=kernel)
        elif self.is_global:
            q, k, v = jnp.moveaxis(
                (qkv + bias.reshape(1, 1, 1, -1)).reshape(b, gh, gw, 3, heads, d), 3, 0
            )
            mixed = attend_globally(
                q,
                k,
                v,
                *tables,
                heads_at_once=compute.heads_at_once,
                rows_at_once=compute.rows_at_once,
            )
        else:
            mixed = attend_in_windows(
                qkv,
                bias,
                *tables,
                heads=heads,
                window=config.window_size,
                windows_at_once=compute.windows_at_once,
            )
        return nn.Dense(width, name="proj", dtype=dtype)(mixed.reshape(b, gh, gw, width))


class Block(nn.Module):
    """Attention and MLP, each on normalised input and added to what came in."""

    config: ImageEncoderConfig
    compute: Compute
    is_global: bool

    def setup(self) -> None:
        config, dtype = self.config, self.compute.jax_dtype
        self.norm1 = LayerNorm(NORM_EPSILON, dtype)
        self.attn = self.make_attention()
        self.norm2 = LayerNorm(NORM_EPSILON, dtype)
        self.mlp = TwoLayerMLP(int(config.width * config.mlp_ratio), gelu, dtype)

    def make_attention(self) -> nn.Module:
        """The layer that mixes tokens."""
        return RelativeAttention(self.config, self.compute, self.is_global)

    def __call__(
        self, x: Float[Array, "b gh gw d"], branches: Float[Array, "b 2"] | None = None
    ) -> Float[Array, "b gh gw d"]:
        attention = self.attn(self.norm1(x))
        if branches is not None:
            attention = attention * branches[:, 0].astype(x.dtype).reshape(-1, 1, 1, 1)
        x = x + attention
        if self.is_initializing():
            return x + self.mlp(self.norm2(x))
        (norm, of_norm), (mlp, of_mlp) = self.norm2.unbind(), self.mlp.unbind()

        at_once = max(1, self.compute.tokens_at_once // x.shape[0])

        def add_to_image(tokens: Float[Array, "s d"], *factor: Float[Array, ""]) -> Array:
            def add_mlp(token: Float[Array, " d"]) -> Float[Array, " d"]:
                added: Array = mlp.apply(of_mlp, norm.apply(of_norm, token))  # pyright: ignore[reportAssignmentType]
                return token + (added * factor[0] if factor else added)

            return replace_in_batches(add_mlp, tokens, at_once=at_once)

        tokens = x.reshape(x.shape[0], -1, x.shape[-1])
        factors = () if branches is None else (branches[:, 1].astype(x.dtype),)
        return map_images(add_to_image, tokens, *factors).reshape(x.shape)


class Neck(nn.Module):
    """Brings the transformer's width to that of the image embedding; no biases."""

    channels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b gh gw d"]) -> Float[Array, "b gh gw c"]:
        x = nn.Dense(self.channels, use_bias=False, dtype=self.dtype, name="conv1")(x)
        x = LayerNorm(NORM_EPSILON, self.dtype, name="norm1")(x)
        x = nn.Conv(self.channels, (3, 3), use_bias=False, dtype=self.dtype, name="conv2")(x)
        return LayerNorm(NORM_EPSILON, self.dtype, name="norm2")(x)


class ImageEncoder(nn.Module):
    """Turns normalised, padded images into image embeddings."""

    config: ImageEncoderConfig
    compute: Compute

    def setup(self) -> None:
        config, dtype = self.config, self.compute.jax_dtype
        self.patch_embed = PatchConv(config.patch_size, config.width, dtype)
        self.pos_embed = self.param(
            "pos_embed", nn.initializers.normal(0.02), (*config.grid, config.width)
        )
        block_class = nn.remat(Block) if self.compute.remat else Block
        self.blocks = [
            block_class(config, self.compute, i in config.global_blocks)
            for i in range(config.depth)
        ]
        self.neck = Neck(config.out_channels, dtype)

    def __call__(
        self,
        pixels: Float[AnyArray, "b h w 3"],
        branches: Float[Array, "depth b 2"] | None = None,
    ) -> Float[Array, "b gh gw c"]:
        """Image embeddings.

        Args:
            pixels: Normalised, padded images.
            branches: Factors of every block's attention and MLP, in training with drop path
                ([Huang et al. 2016](https://arxiv.org/abs/1603.09382)).

        Raises:
            InputError: The images have another size than the config's.
        """
        return self.transform(self.embed_patches(pixels), branches)

    def embed_patches(self, pixels: Float[AnyArray, "b h w 3"]) -> Float[Array, "b gh gw d"]:
        """Patches of the images as tokens, with their positions."""
        if pixels.shape[1:3] != self.config.image_size:
            raise InputError(
                f"the encoder takes images padded to {self.config.image_size} (h, w), not {pixels.shape[1:3]}; "
                f"load the weights with image_size={pixels.shape[1:3]}, or resize and pad"
            )
        x = self.patch_embed(pixels)
        return x + self.pos_embed.astype(x.dtype)[None]

    def transform(
        self, x: Float[Array, "b gh gw d"], branches: Float[Array, "depth b 2"] | None = None
    ) -> Float[Array, "b gh gw c"]:
        """From tokens with positions to image embeddings: the blocks and the neck; `branches` as for a call."""
        for run in self._runs():
            if self.compute.scan_blocks and len(run) > 1 and not self.is_initializing():
                x = scan_blocks(
                    [self.blocks[index] for index in run],
                    x,
                    None if branches is None else branches[np.array(run)],
                )
            else:
                for index in run:
                    x = self.blocks[index](x, None if branches is None else branches[index])
        return self.neck(x)

    def _runs(self) -> list[list[int]]:
        """Blocks in order, cut into single global blocks and runs of windowed ones."""
        runs: list[list[int]] = []
        for index in range(self.config.depth):
            if (
                index in self.config.global_blocks
                or not runs
                or runs[-1][-1] in self.config.global_blocks
            ):
                runs.append([index])
            else:
                runs[-1].append(index)
        return runs


def scan_blocks(
    blocks: Sequence[Block],
    x: Float[Array, "b gh gw d"],
    branches: Float[Array, "run b 2"] | None = None,
) -> Float[Array, "b gh gw d"]:
    """Equal blocks as one loop over their stacked parameters; the stored tree stays one entry a block.

    Args:
        blocks: Blocks that compute the same, with other parameters.
        x: Tokens of the images.
        branches: Factors of every block's attention and MLP, as of `ImageEncoder`.
    """
    unbound = [block.unbind() for block in blocks]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[leaves for _, leaves in unbound])
    block = unbound[0][0]

    def step(x: Array, inputs: tuple[dict, Array | None]) -> tuple[Array, None]:
        variables, factors = inputs
        return block.apply(variables, x, factors), None  # pyright: ignore[reportReturnType]

    return jax.lax.scan(step, x, (stacked, branches))[0]
