"""The prompt encoder by its official name."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.inference.prompts import POINT_SIZES, pad_points, round_up
from sam_jax.models import (
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    make_sam,
)
from sam_jax.segment_anything.modeling.image_encoder import require_gelu
from sam_jax.segment_anything.modeling.module import Part
from sam_jax.segment_anything.tensors import Tensor, as_array, is_tensor, like
from sam_jax.types import EncodedPrompts, InputError, PointLabel, Prompts, Variables

CORNERS = (PointLabel.TOP_LEFT, PointLabel.BOTTOM_RIGHT)
NAMED_LABELS = (-1, 0, 1, *CORNERS)


@functools.partial(jax.jit, static_argnums=(0, 1))
def encode_prompts(
    config: SamConfig, steps: Compute, variables: Variables, prompts: Prompts
) -> EncodedPrompts:
    """Tokens and dense maps of the prompts of one image.

    Args:
        config: Sizes of the model.
        steps: Precision, and what is traded for memory.
        variables: Weights of the prompt encoder.
        prompts: Points and masks in the padded input.
    """
    encoded = make_sam(config, steps).apply(variables, prompts, method="encode_prompts")
    return jax.tree.map(lambda leaf: leaf[0], encoded)


@functools.partial(jax.jit, static_argnums=0)
def encode_places(config: SamConfig, variables: Variables) -> Float[Array, "1 d gh gw"]:
    """Positional encoding of the image embedding's places.

    Args:
        config: Sizes of the model.
        variables: Weights of the prompt encoder.
    """
    positions: Array = make_sam(config).apply(variables, method="encode_grid")  # pyright: ignore[reportAssignmentType]
    return jnp.moveaxis(positions, -1, 0)[None]


class PromptEncoder(Part):
    """The prompt encoder, with the official arguments.

    Args:
        embed_dim: Width of the tokens and of the dense map.
        image_embedding_size: Height and width of the image embedding.
        input_image_size: Height and width of the padded input in pixels.
        mask_in_chans: Number of hidden channels of the mask prompt's downscaling.
        activation: Activation of the downscaling, GELU; None for the same.

    Raises:
        InputError: The arguments ask for what no Segment Anything has.
    """

    prefix = "prompt_encoder"

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
        activation: Any = None,
    ) -> None:
        require_gelu("activation", activation)
        encoder = ImageEncoderConfig(
            image_size=(input_image_size[0], input_image_size[1]),
            width=embed_dim,
            depth=1,
            num_heads=1,
            global_blocks=(0,),
            out_channels=embed_dim,
        )
        if encoder.grid != tuple(image_embedding_size):
            raise InputError(
                f"image_embedding_size {image_embedding_size} is not a sixteenth of input_image_size {input_image_size}"
            )
        super().__init__(
            SamConfig(
                image_encoder=encoder,
                prompt_encoder=PromptEncoderConfig(width=embed_dim, mask_channels=mask_in_chans),
                mask_decoder=MaskDecoderConfig(width=embed_dim),
            )
        )

    @property
    def embed_dim(self) -> int:
        """Width of the tokens and of the dense map."""
        return self.config.prompt_encoder.width

    @property
    def input_image_size(self) -> tuple[int, int]:
        """Height and width of the padded input in pixels."""
        return self.config.image_encoder.image_size

    @property
    def image_embedding_size(self) -> tuple[int, int]:
        """Height and width of the image embedding."""
        return self.config.image_encoder.grid

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """Height and width of mask prompts."""
        height, width = self.image_embedding_size
        return 4 * height, 4 * width

    def get_dense_pe(self) -> Tensor:
        """Positional encoding 1 × d × gh × gw of the image embedding's places."""
        device, dtype = self.device_and_dtype()
        places = like(encode_places(self.config, self.variables()))
        return places.to(device=device, dtype=dtype) if is_tensor(places) else places

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens n × t × d and dense maps n × d × gh × gw of n prompts.

        Args:
            points: Coordinates n × p × 2 in the padded input, and their labels n × p: 1 foreground, 0 background,
                -1 no point, 2 and 3 the corners of a box.
            boxes: Boxes n × 4 in the padded input.
            masks: Low-resolution logits n × 1 × h × w of earlier answers.

        Raises:
            InputError: The shapes don't fit, or there is another label.
        """
        prompts = self._join(points, boxes, masks)
        count, tokens = prompts.labels.shape[1:]
        padded = pad_points(prompts, round_up(tokens, POINT_SIZES))
        encoded: list[EncodedPrompts] = []

        def encode(variables: Variables, *masks: Any) -> tuple[Array, Array]:
            given = padded._replace(masks=masks[0][None, :, 0] if masks else None)
            encoded.append(encode_prompts(self.config, self.steps, variables, given))
            return encoded[0].tokens, jnp.moveaxis(encoded[0].dense, -1, 1)

        form = [*(points or ()), boxes, masks]
        sparse, dense = self.run(encode, *(() if masks is None else (masks,)), form=form)
        sparse = sparse[:, :tokens]
        if self.config.fine is not None:
            sparse.encoded = encoded[0]  # the decoder looks for it there
        whole = (count, self.embed_dim, *self.image_embedding_size)
        if is_tensor(dense):
            return sparse, dense.expand(whole)
        return sparse, np.broadcast_to(dense, whole, subok=True)

    def _join(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> Prompts:
        """Points, the padding point that follows them where there is no box, and the corners of boxes."""
        given = [points[0] if points else None, boxes, masks]
        count = next((len(one) for one in given if one is not None), 1)
        coords, labels = np.zeros((count, 0, 2), np.float32), np.zeros((count, 0), np.int32)
        if points is not None:
            coords, labels = (as_array(part) for part in points)
            if coords.shape[:2] != labels.shape or coords.shape[2:] != (2,):
                raise InputError(
                    f"points are n x p x 2 and their labels n x p, not {coords.shape} and {labels.shape}"
                )
            if not np.isin(labels, NAMED_LABELS).all():
                raise InputError(
                    "a point label is 1 (foreground), 0 (background), -1 (no point), 2 or 3 (corners of a box)"
                )
            # As after a box, no padding point follows the corners of one.
            if boxes is None and not np.isin(labels, CORNERS).any():
                coords = np.pad(coords, ((0, 0), (0, 1), (0, 0)))
                labels = np.pad(labels, ((0, 0), (0, 1)), constant_values=PointLabel.NOT_A_POINT)
        if boxes is not None:
            corners = as_array(boxes).reshape(-1, 2, 2)
            kinds = np.tile(CORNERS, (len(corners), 1))
            if len(corners) != len(coords):
                raise InputError(f"{len(corners)} boxes don't go with {len(coords)} prompts")
            coords = np.concatenate([coords, corners], axis=1)
            labels = np.concatenate([labels, kinds], axis=1)
        expected = (count, 1, *self.mask_input_size)
        if masks is not None and tuple(masks.shape) != expected:
            raise InputError(
                f"mask prompts are low-resolution logits of shape {expected}, not {tuple(masks.shape)}"
            )
        return Prompts(coords.astype(np.float32)[None], labels.astype(np.int32)[None])
