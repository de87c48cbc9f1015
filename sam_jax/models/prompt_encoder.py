"""The prompt encoder: points, boxes, text and masks become tokens and a dense map.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 3, appendix A, and D.5 for text.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.layers import NORM_EPSILON, LayerNorm, PatchConv
from sam_jax.ops.activations import gelu
from sam_jax.ops.arguments import check_counts
from sam_jax.types import AnyArray, InputError, PointLabel, PromptEmbeddings, Prompts


@dataclass(frozen=True, kw_only=True)
class PromptEncoderConfig:
    """Sizes of the prompt encoder.

    Attributes:
        width: Width of the tokens and of the dense map, which is the image embedding's.
        mask_channels: Number of hidden channels of the mask prompt's downscaling.
        text_width: Width of the CLIP embeddings that are taken as text prompts, 768 for the paper's; None for a model
            without text prompts, as all published ones are.
    """

    width: int = 256
    mask_channels: int = 16
    text_width: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "width", "mask_channels")
        if self.text_width is not None:
            check_counts(self, "text_width")
        if self.width % 2 or self.mask_channels % 4:
            raise InputError(
                f"width {self.width} must be even and mask_channels {self.mask_channels} divisible by 4"
            )


def encode_positions(
    points: Float[AnyArray, "*shape 2"], gaussian: Float[Array, "2 half"]
) -> Float[Array, "*shape d"]:
    """Random Fourier features of x, y in [0, 1] ([Tancik et al. 2020](https://arxiv.org/abs/2006.10739))."""
    angles = 2 * np.pi * ((2 * points - 1) @ gaussian)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def encode_grid(grid: tuple[int, int], gaussian: Float[Array, "2 half"]) -> Float[Array, "gh gw d"]:
    """`encode_positions` of every patch's centre.

    The angle is a sum of one part for the column and one for the row, so sines are only taken of gh + gw rows and
    combined by the addition theorem.
    """

    def turn(side: int, frequencies: Array) -> tuple[Array, Array]:
        centres = ((np.arange(side) + 0.5) / side).astype(np.float32)
        angles = 2 * np.pi * jnp.outer(2 * centres - 1, frequencies)
        return jnp.sin(angles), jnp.cos(angles)

    sin_x, cos_x = turn(grid[1], gaussian[0])

    def combine(row: tuple[Array, Array]) -> Float[Array, "gw d"]:
        sin_y, cos_y = (part[None] for part in row)
        sine = sin_x * cos_y + cos_x * sin_y
        cosine = cos_x * cos_y - sin_x * sin_y
        return jnp.concatenate([sine, cosine], axis=-1)

    # A loop, because XLA would fuse the sines into the combination and take them again for every place.
    return jax.lax.map(combine, turn(grid[0], gaussian[1]))


class MaskDownscaling(nn.Module):
    """Brings a mask prompt to the size and width of the image embedding."""

    config: PromptEncoderConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, masks: Float[AnyArray, "k h w"]) -> Float[Array, "k gh gw d"]:
        channels, dtype = self.config.mask_channels, self.dtype
        x = masks[..., None]
        x = PatchConv(2, channels // 4, dtype, name="conv1")(x)
        x = gelu(LayerNorm(NORM_EPSILON, dtype, name="norm1")(x))
        x = PatchConv(2, channels, dtype, name="conv2")(x)
        x = gelu(LayerNorm(NORM_EPSILON, dtype, name="norm2")(x))
        return nn.Dense(self.config.width, dtype=dtype, name="conv3")(x)


class PromptEncoder(nn.Module):
    """Turns prompts into tokens and a dense map.

    Attributes:
        config: Sizes of the prompt encoder.
        image_size: Height and width in pixels of the padded input, in which points are given.
        grid: Height and width of the image embedding.
        dtype: Dtype of the mask prompt's downscaling; points and text are encoded in float32.
    """

    config: PromptEncoderConfig
    image_size: tuple[int, int]
    grid: tuple[int, int]
    dtype: jnp.dtype

    def setup(self) -> None:
        width = self.config.width

        def learned(name: str) -> Array:
            return self.param(name, nn.initializers.normal(1.0), (width,))

        self.background_embed = learned("background_embed")
        self.foreground_embed = learned("foreground_embed")
        self.top_left_embed = learned("top_left_embed")
        self.bottom_right_embed = learned("bottom_right_embed")
        self.not_a_point_embed = learned("not_a_point_embed")
        self.no_mask_embed = learned("no_mask_embed")
        self.mask_downscaling = MaskDownscaling(self.config, self.dtype)
        if self.config.text_width is not None:
            # Of embeddings of length 1 it makes tokens as long as the learned ones.
            self.text_projection = nn.Dense(
                width, dtype=jnp.float32, kernel_init=nn.initializers.normal(1.0)
            )
        self.gaussian_matrix = self.variable(
            "constants",
            "gaussian_matrix",
            lambda: nn.initializers.normal(1.0)(self.make_rng("params"), (2, width // 2)),
        )

    def encode_grid(self) -> Float[Array, "gh gw d"]:
        """Positional encoding of the image embedding's places."""
        return encode_grid(self.grid, self.gaussian_matrix.value)

    def __call__(self, prompts: Prompts) -> PromptEmbeddings:
        """Tokens for points, boxes and text; the dense map is the mask prompt, or one learned vector everywhere."""
        if prompts.masks is None:
            dense = self.no_mask_embed.reshape(1, 1, 1, 1, -1)
        else:
            dense = self._embed_masks(prompts.masks)
        present: Bool[Array, "b n t"] = prompts.labels != PointLabel.ABSENT
        tokens = self._embed_points(prompts.points, prompts.labels)
        if prompts.text is not None:
            has_text = (prompts.text != 0).any(axis=-1, keepdims=True)
            present = jnp.concatenate([present, has_text], axis=2)
            tokens = jnp.concatenate([tokens, self._embed_text(prompts.text)], axis=2)
        return PromptEmbeddings(tokens, present, dense)

    def _embed_text(self, text: Float[AnyArray, "b n c"]) -> Float[Array, "b n 1 d"]:
        if self.config.text_width is None:
            raise InputError(
                "these weights have no text projection: text prompts need a Segment Anything that was trained with text"
            )
        if text.shape[2] != self.config.text_width:
            raise InputError(
                f"the model was trained with a CLIP whose embeddings have a width of {self.config.text_width}, not "
                f"{text.shape[2]}"
            )
        return self.text_projection(jnp.asarray(text))[:, :, None]

    def _embed_points(
        self, points: Float[AnyArray, "b n p 2"], labels: Int[AnyArray, "b n p"]
    ) -> Float[Array, "b n p d"]:
        size = np.array([self.image_size[1], self.image_size[0]], np.float32).reshape(1, 1, 1, 2)
        centres = (points + 0.5) / size
        tokens = encode_positions(centres, self.gaussian_matrix.value)
        is_point = labels >= PointLabel.BACKGROUND
        learned = jnp.stack(
            [
                jnp.zeros_like(self.not_a_point_embed),
                self.not_a_point_embed,
                self.background_embed,
                self.foreground_embed,
                self.top_left_embed,
                self.bottom_right_embed,
            ]
        )
        return jnp.where(is_point[..., None], tokens, 0.0) + learned[labels - PointLabel.ABSENT]

    def _embed_masks(self, masks: Float[AnyArray, "b n h w"]) -> Float[Array, "b n gh gw d"]:
        expected = (4 * self.grid[0], 4 * self.grid[1])
        if masks.shape[2:] != expected:
            raise InputError(
                f"a mask prompt is low-resolution logits of {expected} (h, w), not {masks.shape[2:]}"
            )
        dense = self.mask_downscaling(masks.reshape(-1, *expected))
        return dense.reshape(*masks.shape[:2], *dense.shape[1:])
