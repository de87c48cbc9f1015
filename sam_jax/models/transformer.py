"""The two-way transformer: prompt tokens and image attend to each other (SAM, section 3 and appendix A).

Everything here sees one prompt; `jax.vmap` and `jax.lax.map` add prompts and images.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.models.layers import LayerNorm, Projection, TwoLayerMLP
from sam_jax.ops.cross_attention import image_to_tokens, tokens_to_image

NORM_EPSILON = 1e-5
"""In the two-way transformer only."""


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its input's."""

    width: int
    inner_width: int
    num_heads: int
    dtype: jnp.dtype

    def setup(self) -> None:
        self.q_proj = Projection(self.width, self.inner_width)
        self.k_proj = Projection(self.width, self.inner_width)
        self.v_proj = Projection(self.width, self.inner_width)
        self.out_proj = Projection(self.inner_width, self.width)

    def __call__(
        self,
        query: Float[Array, "q width"],
        key: Float[Array, "k width"],
        value: Float[Array, "k width"],
        present: Bool[Array, " k"] | None = None,
    ) -> Float[Array, "q width"]:
        """Plain attention, to those keys that are present."""
        q = self._project(self.q_proj, query) * self.head_width**-0.5
        k, v = self._project(self.k_proj, key), self._project(self.v_proj, value)
        scores = jnp.einsum(
            "qhd,khd->hqk", q.astype(self.dtype), k, preferred_element_type=jnp.float32
        )
        if present is not None:
            scores = jnp.where(present[None, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        return self._project_out(jnp.einsum("hqk,khd->qhd", weights, v))

    def to_image(
        self,
        tokens: Float[Array, "t width"],
        keys: Float[Array, "s width"],
        values: Float[Array, "s width"],
    ) -> Float[Array, "t width"]:
        """Tokens attend to the image."""
        if not self._absorbs(tokens):
            return self(tokens, keys, values)
        v_kernel, v_bias = self._split_heads(self.v_proj)
        k_kernel, _ = self._split_heads(self.k_proj)
        query = self._project(self.q_proj, tokens)
        return self._project_out(tokens_to_image(query, keys, values, k_kernel, v_kernel, v_bias))

    def to_tokens(
        self,
        image: Float[Array, "s width"],
        keys: Float[Array, "t width"],
        values: Float[Array, "t width"],
        present: Bool[Array, " t"],
    ) -> Float[Array, "s width"]:
        """The image attends to those tokens that are present."""
        if not self._absorbs(keys):
            return self(image, keys, values, present)
        q_kernel, q_bias = self._split_heads(self.q_proj)
        key, value = self._project(self.k_proj, keys), self._project(self.v_proj, values)
        out_kernel, out_bias = (leaf.astype(self.dtype) for leaf in self.out_proj())
        out_kernel = out_kernel.reshape(self.num_heads, self.head_width, -1)
        mixed = image_to_tokens(image, key, value, q_kernel, q_bias, out_kernel, present)
        return mixed + out_bias[None]

    @property
    def head_width(self) -> int:
        return self.inner_width // self.num_heads

    def _absorbs(self, tokens: Float[Array, "t width"]) -> bool:
        """Whether the image is better left unprojected: fewer columns than the projection has.

        Where the number of tokens is left free, in an export, few are expected.
        """
        count = tokens.shape[0]
        return not isinstance(count, int) or self.num_heads * count <= self.inner_width

    def _split_heads(self, projection: Projection) -> tuple[Array, Array]:
        kernel, bias = (leaf.astype(self.dtype) for leaf in projection())
        heads = (self.num_heads, self.head_width)
        return kernel.reshape(-1, *heads), bias.reshape(heads)

    def _project(self, projection: Projection, x: Float[Array, "t width"]) -> Float[Array, "t h d"]:
        kernel, bias = (leaf.astype(self.dtype) for leaf in projection())
        return (x @ kernel + bias[None]).reshape(-1, self.num_heads, self.head_width)

    def _project_out(self, mixed: Float[Array, "t h d"]) -> Float[Array, "t width"]:
        kernel, bias = (leaf.astype(self.dtype) for leaf in self.out_proj())
        return mixed.reshape(-1, self.inner_width) @ kernel + bias[None]


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to image, MLP on tokens, image to tokens.

    Positions are added again at every attention: to queries and keys, never to values. The first block's self-attention
    takes the tokens as they are and replaces them.
    """

    width: int
    num_heads: int
    mlp_width: int
    is_first: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        width, half, heads, dtype = self.width, self.width // 2, self.num_heads, self.dtype
        self.self_attn = Attention(width, width, heads, dtype)
        self.norm1 = LayerNorm(NORM_EPSILON, dtype)
        self.cross_attn_token_to_image = Attention(width, half, heads, dtype)
        self.norm2 = LayerNorm(NORM_EPSILON, dtype)
        self.mlp = TwoLayerMLP(self.mlp_width, nn.relu, dtype)
        self.norm3 = LayerNorm(NORM_EPSILON, dtype)
        self.cross_attn_image_to_token = Attention(width, half, heads, dtype)
        self.norm4 = LayerNorm(NORM_EPSILON, dtype)

    def __call__(
        self,
        tokens: Float[Array, "t d"],
        image: Float[Array, "s d"],
        token_positions: Float[Array, "t d"],
        image_positions: Float[Array, "s d"],
        present: Bool[Array, " t"],
    ) -> tuple[Float[Array, "t d"], Float[Array, "s d"]]:
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens, present)
        else:
            placed = tokens + token_positions
            tokens = tokens + self.self_attn(placed, placed, tokens, present)
        tokens = self.norm1(tokens)
        placed_image = image + image_positions
        attended = self.cross_attn_token_to_image.to_image(
            tokens + token_positions, placed_image, image
        )
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))
        attended = self.cross_attn_image_to_token.to_tokens(
            placed_image, tokens + token_positions, tokens, present
        )
        return tokens, self.norm4(image + attended)


class TwoWayTransformer(nn.Module):
    """Blocks of attention in both directions, and one last look of the tokens at the image."""

    depth: int
    width: int
    num_heads: int
    mlp_width: int
    dtype: jnp.dtype

    def setup(self) -> None:
        self.layers = [
            TwoWayBlock(self.width, self.num_heads, self.mlp_width, index == 0, self.dtype)
            for index in range(self.depth)
        ]
        self.final_attn_token_to_image = Attention(
            self.width, self.width // 2, self.num_heads, self.dtype
        )
        self.norm_final_attn = LayerNorm(NORM_EPSILON, self.dtype)

    def __call__(
        self,
        tokens: Float[Array, "t d"],
        image: Float[Array, "s d"],
        image_positions: Float[Array, "s d"],
        present: Bool[Array, " t"],
    ) -> tuple[Float[Array, "t d"], Float[Array, "s d"]]:
        token_positions = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_positions, image_positions, present)
        attended = self.final_attn_token_to_image.to_image(
            tokens + token_positions, image + image_positions, image
        )
        return self.norm_final_attn(tokens + attended), image
