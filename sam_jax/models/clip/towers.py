"""CLIP's two towers: a transformer over the words of a phrase, and one over the patches of an image.

Source: [Learning Transferable Visual Models From Natural Language Supervision](https://arxiv.org/abs/2103.00020),
section 2.4.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.clip.config import ClipImageConfig, ClipTextConfig
from sam_jax.models.compute import Compute
from sam_jax.models.layers import LayerNorm, TwoLayerMLP
from sam_jax.ops.activations import gelu, quick_gelu
from sam_jax.types import AnyArray, InputError

NORM_EPSILON = 1e-5
"""In all norms of CLIP."""
_EMBED = nn.initializers.normal(0.02)
_ACTIVATIONS = {"gelu": gelu, "quick_gelu": quick_gelu}


class ClipAttention(nn.Module):
    """Multi-head attention of all tokens to those that the mask allows."""

    num_heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "n t d"], allowed: Bool[Array, "#n #t t"] | None
    ) -> Float[Array, "n t d"]:
        n, t, width = x.shape
        qkv = nn.Dense(3 * width, dtype=self.dtype, name="qkv")(x)
        q, k, v = jnp.moveaxis(qkv.reshape(n, t, 3, self.num_heads, width // self.num_heads), 2, 0)
        mask = None if allowed is None else allowed[:, None]
        mixed = jax.nn.dot_product_attention(q, k, v, mask=mask)
        return nn.Dense(width, dtype=self.dtype, name="proj")(mixed.reshape(n, t, width))


class ClipBlock(nn.Module):
    """A block of either tower: attention and MLP, with a norm before each."""

    config: ClipTextConfig | ClipImageConfig
    dtype: jnp.dtype

    def setup(self) -> None:
        config = self.config
        self.norm1 = LayerNorm(NORM_EPSILON, self.dtype)
        self.attn = ClipAttention(config.num_heads, self.dtype)
        self.norm2 = LayerNorm(NORM_EPSILON, self.dtype)
        self.mlp = TwoLayerMLP(config.mlp_width, _ACTIVATIONS[config.activation], self.dtype)

    def __call__(
        self, x: Float[Array, "n t d"], allowed: Bool[Array, "#n #t t"] | None
    ) -> Float[Array, "n t d"]:
        x = x + self.attn(self.norm1(x), allowed)
        return x + self.mlp(self.norm2(x))


class TextTower(nn.Module):
    """From tokens to the feature at the end of the text.

    Attributes:
        config: Sizes of the tower.
        out_width: Width of the features.
        compute: Precision.
    """

    config: ClipTextConfig
    out_width: int
    compute: Compute

    def setup(self) -> None:
        config, dtype = self.config, self.compute.jax_dtype
        self.token_embed = self.param("token_embed", _EMBED, (config.vocabulary, config.width))
        self.pos_embed = self.param("pos_embed", _EMBED, (config.context, config.width))
        self.blocks = [ClipBlock(config, dtype) for _ in range(config.depth)]
        self.norm = LayerNorm(NORM_EPSILON, dtype)
        self.proj = nn.Dense(self.out_width, use_bias=False, dtype=dtype)

    def __call__(self, tokens: Int[AnyArray, "n t"]) -> Float[Array, "n d"]:
        config, dtype = self.config, self.compute.jax_dtype
        tokens = jnp.asarray(tokens)
        t = tokens.shape[1]
        if not 0 < t <= config.context:
            raise InputError(f"a phrase has 1 to {config.context} tokens, not {t}")
        x = self.token_embed.astype(dtype)[tokens] + self.pos_embed.astype(dtype)[None, :t]
        before = jnp.tril(jnp.ones((t, t), bool))[None]
        for block in self.blocks:
            x = block(x, before)
        end = tokens if config.end_of_text is None else tokens == config.end_of_text
        x = jnp.take_along_axis(x, jnp.argmax(end, axis=1)[:, None, None], axis=1)[:, 0]
        return self.proj(self.norm(x))


class ImageTower(nn.Module):
    """From pixels to the feature of the class token.

    Attributes:
        config: Sizes of the tower.
        out_width: Width of the features.
        compute: Precision.
    """

    config: ClipImageConfig
    out_width: int
    compute: Compute

    def setup(self) -> None:
        config, dtype = self.config, self.compute.jax_dtype
        gh, gw = config.grid
        side = config.patch_size
        self.class_token = self.param("class_token", _EMBED, (config.width,))
        self.pos_embed = self.param("pos_embed", _EMBED, (1 + gh * gw, config.width))
        self.patch_embed = nn.Conv(
            config.width, (side, side), (side, side), "VALID", use_bias=False, dtype=dtype
        )
        self.norm_pre = LayerNorm(NORM_EPSILON, dtype)
        self.blocks = [ClipBlock(config, dtype) for _ in range(config.depth)]
        self.norm = LayerNorm(NORM_EPSILON, dtype)
        self.proj = nn.Dense(self.out_width, use_bias=False, dtype=dtype)

    def __call__(
        self, pixels: Float[AnyArray, "n h w 3"], patches: Bool[AnyArray, "n gh gw"] | None = None
    ) -> Float[Array, "n d"]:
        config, dtype = self.config, self.compute.jax_dtype
        if pixels.shape[1:3] != config.image_size:
            height, width = config.image_size
            raise InputError(
                f"this CLIP takes images of {height}x{width} pixels (h x w), not "
                f"{pixels.shape[1]}x{pixels.shape[2]}"
            )
        if patches is not None and patches.shape[1:] != config.grid:
            raise InputError(
                f"this CLIP has {config.grid} patches (down, across), not {patches.shape[1:]}"
            )
        x = self.patch_embed(jnp.asarray(pixels, dtype))
        n, gh, gw, d = x.shape
        first = jnp.broadcast_to(self.class_token.astype(dtype).reshape(1, 1, d), (n, 1, d))
        x = jnp.concatenate([first, x.reshape(n, gh * gw, d)], axis=1)
        x = self.norm_pre(x + self.pos_embed.astype(dtype)[None])
        for block in self.blocks[:-1]:
            x = block(x, None)
        allowed = None
        if patches is not None:
            of_object = jnp.asarray(patches).reshape(n, 1, gh * gw)
            allowed = jnp.concatenate([jnp.ones((n, 1, 1), bool), of_object], axis=-1)
        x = self.blocks[-1](x, allowed)
        return self.proj(self.norm(x[:, 0]))
