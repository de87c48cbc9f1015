"""The image encoder by its official name, and the two functions about windows that scripts import."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.models import (
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    make_sam,
)
from sam_jax.models.config import PATCH_SIZE
from sam_jax.models.layers import NORM_EPSILON
from sam_jax.ops.windows import merge_windows, partition_windows
from sam_jax.segment_anything.modeling.module import Part
from sam_jax.segment_anything.tensors import Tensor, compute
from sam_jax.types import ImageEmbedding, InputError, Variables


@functools.partial(jax.jit, static_argnums=(0, 1))
def encode_pixels(
    config: SamConfig, steps: Compute, variables: Variables, pixels: Float[Array, "b 3 h w"]
) -> tuple[Float[Array, "b d gh gw"], ImageEmbedding]:
    """Image embeddings of normalised, padded images with channels first, and as this package has them.

    Args:
        config: Sizes of the model.
        steps: Precision, and what is traded for memory.
        variables: Weights of the image encoder.
        pixels: Normalised, padded images.
    """
    sam = make_sam(config, steps)
    embedding = sam.apply(variables, jnp.moveaxis(pixels, 1, -1), method="encode_image")
    return jnp.moveaxis(sam.features_of(embedding), -1, 1).astype(jnp.float32), embedding


class ImageEncoderViT(Part):
    """The image encoder, with the official arguments.

    Args:
        img_size: Side of the padded input in pixels.
        patch_size: Side of a patch in pixels, 16.
        in_chans: Number of colours, 3.
        embed_dim: Width of the transformer's tokens.
        depth: Number of the transformer's blocks.
        num_heads: Number of attention heads of a block.
        mlp_ratio: Hidden width of a block's MLP, divided by `embed_dim`.
        out_chans: Width of the image embedding.
        qkv_bias: Whether queries, keys and values have biases: they do.
        norm_layer: Layer norm, whose epsilon is 1e-6 as in every Segment Anything; None for the same.
        act_layer: Activation, GELU; None for the same.
        use_abs_pos: Whether tokens have absolute positions: they do.
        use_rel_pos: Whether attention has relative positions: it does, so True has to be given.
        rel_pos_zero_init: Whether relative positions start at zero: they do.
        window_size: Side of an attention window in patches; 0 for none.
        global_attn_indexes: Indices of the blocks that attend globally.

    Attributes:
        img_size: Side of the padded input in pixels.

    Raises:
        InputError: The arguments ask for what no Segment Anything has.
    """

    prefix = "image_encoder"

    def __init__(
        self,
        img_size: int = 1024,
        patch_size: int = PATCH_SIZE,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        out_chans: int = 256,
        qkv_bias: bool = True,
        norm_layer: Any = None,
        act_layer: Any = None,
        use_abs_pos: bool = True,
        use_rel_pos: bool = False,
        rel_pos_zero_init: bool = True,
        window_size: int = 0,
        global_attn_indexes: Any = (),
    ) -> None:
        fixed = {
            "in_chans": (in_chans, 3),
            "qkv_bias": (qkv_bias, True),
            "use_abs_pos": (use_abs_pos, True),
            "use_rel_pos": (use_rel_pos, True),
            "rel_pos_zero_init": (rel_pos_zero_init, True),
        }
        for name, (value, only) in fixed.items():
            if value != only:
                raise InputError(f"{name} is {value!r}: in every Segment Anything it is {only!r}")
        if norm_layer is not None and norm_layer(8).eps != NORM_EPSILON:
            raise InputError(
                f"the epsilon of norm_layer is {norm_layer(8).eps}: in every Segment Anything it is {NORM_EPSILON}"
            )
        require_gelu("act_layer", act_layer)
        blocks = range(depth) if window_size == 0 else sorted(set(global_attn_indexes))
        encoder = ImageEncoderConfig(
            image_size=(img_size, img_size),
            patch_size=patch_size,
            width=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            window_size=window_size or img_size // patch_size,
            global_blocks=tuple(blocks),
            out_channels=out_chans,
        )
        super().__init__(
            SamConfig(
                image_encoder=encoder,
                prompt_encoder=PromptEncoderConfig(width=out_chans),
                mask_decoder=MaskDecoderConfig(width=out_chans),
            )
        )

    @property
    def img_size(self) -> int:
        """Side of the padded input in pixels."""
        return self.config.image_encoder.image_size[0]

    def forward(self, x: Tensor) -> Tensor:
        """Image embeddings b × d × gh × gw of normalised, padded images b × 3 × h × w.

        Args:
            x: Images as `Sam.preprocess` gives them.
        """
        beyond: list[ImageEmbedding] = []

        def encode(variables: Variables, pixels: Any) -> tuple[Array]:
            features, embedding = encode_pixels(self.config, self.steps, variables, pixels)
            beyond.append(embedding)
            return (features,)

        (features,) = self.run(encode, x)
        if self.config.fine is not None:
            features.embedding = beyond[0]  # the decoder looks for it there
        return features


def require_gelu(name: str, activation: Any) -> None:
    """Refuses an activation that the model does not have.

    Args:
        name: Name of the argument.
        activation: Class of the activation; None for GELU.

    Raises:
        InputError: The activation is another one.
    """
    if activation is not None and activation.__name__ != "GELU":
        raise InputError(f"{name} is {activation.__name__}: every Segment Anything has GELU there")


def window_partition(x: Tensor, window_size: int) -> tuple[Tensor, tuple[int, int]]:
    """Windows of a grid, as many for each image as cover it, and the size of the grid with their padding.

    Args:
        x: Tokens b × gh × gw × d.
        window_size: Side of a window in tokens.
    """
    height, width = (-(-side // window_size) * window_size for side in x.shape[1:3])

    def partition(x: Any) -> tuple[Array]:
        windows = partition_windows(jnp.asarray(x), window_size)
        return (windows.reshape(-1, window_size, window_size, x.shape[-1]),)

    return compute(partition, [x])[0], (height, width)


def window_unpartition(
    windows: Tensor, window_size: int, pad_hw: tuple[int, int], hw: tuple[int, int]
) -> Tensor:
    """The grid that `window_partition` cut, without its padding.

    Args:
        windows: Windows, those of an image beside each other.
        window_size: Side of a window in tokens.
        pad_hw: Size of the grid with padding.
        hw: Size of the grid.
    """
    of_image = pad_hw[0] * pad_hw[1] // window_size**2

    def merge(windows: Any) -> tuple[Array]:
        tokens = jnp.asarray(windows).reshape(-1, of_image, window_size**2, windows.shape[-1])
        return (merge_windows(tokens, window_size, hw),)

    return compute(merge, [windows])[0]
