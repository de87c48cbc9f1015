"""The whole model by its official name."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.models import Model
from sam_jax.ops.resize import bilinear_matrix
from sam_jax.segment_anything.modeling.image_encoder import ImageEncoderViT
from sam_jax.segment_anything.modeling.mask_decoder import MaskDecoder
from sam_jax.segment_anything.modeling.module import Module, Part
from sam_jax.segment_anything.modeling.prompt_encoder import PromptEncoder
from sam_jax.segment_anything.tensors import Tensor, as_array, compute, torch, without_gradient
from sam_jax.types import AnyArray, InputError


class Sam(Module):
    """Segment Anything with its three parts, each of which can be called.

    Args:
        image_encoder: Image encoder.
        prompt_encoder: Prompt encoder.
        mask_decoder: Mask decoder.
        pixel_mean: Mean of red, green and blue, from 0 to 255.
        pixel_std: Standard deviation of red, green and blue.

    Attributes:
        mask_threshold: Logit above which a pixel belongs to a mask.
        image_format: Order of the colours.
    """

    mask_threshold: float = 0.0
    image_format: str = "RGB"

    def __init__(
        self,
        image_encoder: ImageEncoderViT,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            column = np.array(values, np.float32).reshape(3, 1, 1)
            if torch is None:
                setattr(self, name, column)
            else:
                self.register_buffer(name, torch.from_numpy(column), persistent=False)

    @property
    def device(self) -> Any:
        """Where the model's tensors are; JAX computes on the devices that it finds, whatever this says."""
        return getattr(self.pixel_mean, "device", "cpu")

    def as_model(self) -> Model:
        """The model with its present weights, as the rest of this package takes it.

        Raises:
            InputError: A part was replaced by one that is not of this package, or the colours' mean or deviation.
        """
        parts = (self.image_encoder, self.prompt_encoder, self.mask_decoder)
        colours = (as_array(self.pixel_mean).ravel(), as_array(self.pixel_std).ravel())
        if not all(isinstance(part, Part) for part in parts):
            raise InputError(
                "a part of the model is not of this package, so only the parts can be called"
            )
        if not np.allclose(colours, (PIXEL_MEAN, PIXEL_STD), rtol=1e-3):
            raise InputError("pixel_mean or pixel_std are not those of Segment Anything")
        image, prompt, decoder = (part.config for part in parts)
        variables: dict[str, Any] = {}
        for part in parts:
            for collection, tree in part.variables().items():
                variables.setdefault(collection, {}).update(tree)
        config = replace(
            image, prompt_encoder=prompt.prompt_encoder, mask_decoder=decoder.mask_decoder
        )
        return Model(config, variables, self.image_encoder.steps)

    def forward(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Masks of several images, each with prompts of its own.

        Args:
            batched_input: For each image `image`, resized and 3 × h × w, and `original_size`, h and w; of the prompts
                `point_coords` n × p × 2 and `point_labels` n × p, `boxes` n × 4, `mask_inputs` n × 1 × h × w, all in
                the padded input.
            multimask_output: Whether to give three masks for each prompt, or one.

        Returns:
            For each image `masks` n × m × h × w at its original size, `iou_predictions` n × m, and `low_res_logits`.
        """
        with without_gradient():
            return [self._answer(record, multimask_output) for record in batched_input]

    def _answer(self, record: Mapping[str, Any], multimask_output: bool) -> dict[str, Tensor]:
        pixels = self.preprocess(record["image"])
        points = None
        if "point_coords" in record:
            points = record["point_coords"], record["point_labels"]
        boxes, masks = record.get("boxes"), record.get("mask_inputs")
        sparse, dense = self.prompt_encoder(points=points, boxes=boxes, masks=masks)
        low, iou = self.mask_decoder(
            image_embeddings=self.image_encoder(pixels[None]),
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        size = tuple(record["image"].shape[-2:])
        logits = self.postprocess_masks(low, size, record["original_size"])
        return {
            "masks": logits > self.mask_threshold,
            "iou_predictions": iou,
            "low_res_logits": low,
        }

    def postprocess_masks(
        self, masks: Tensor, input_size: Sequence[int], original_size: Sequence[int]
    ) -> Tensor:
        """Mask logits at the size of the photo: enlarged to the padded input, cut, and resized.

        Args:
            masks: Low-resolution logits b × m × h × w.
            input_size: Height and width of the resized photo inside the padded input.
            original_size: Height and width of the photo.
        """
        side = self.image_encoder.img_size
        rows, columns = (
            bilinear_matrix(fitted, original) @ bilinear_matrix(low, side)[:fitted]
            for low, fitted, original in zip(
                masks.shape[-2:], input_size, original_size, strict=True
            )
        )
        return compute(lambda logits: (resize(logits, rows, columns),), [masks])[0]

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalised, padded images from resized ones.

        Args:
            x: Images whose last axes are 3 × h × w, from 0 to 255.

        Raises:
            InputError: The images are larger than the padded input.
        """
        side = self.image_encoder.img_size
        height, width = x.shape[-2:]
        if max(height, width) > side:
            raise InputError(
                f"the image has {width}x{height} pixels: ResizeLongestSide({side}) makes it fit"
            )
        mean, std = as_array(self.pixel_mean), as_array(self.pixel_std)
        return compute(lambda pixels: (normalise(pixels, mean, std, side),), [x])[0]


@jax.jit
def resize(
    logits: Float[AnyArray, "*batch low_h low_w"],
    rows: Float[AnyArray, "h low_h"],
    columns: Float[AnyArray, "w low_w"],
) -> Float[Array, "*batch h w"]:
    """Masks whose rows and columns are mixtures of those of the logits.

    Args:
        logits: Low-resolution logits.
        rows: Weights of the rows.
        columns: Weights of the columns.
    """
    return jnp.einsum("ra,...ab,cb->...rc", rows, jnp.asarray(logits, jnp.float32), columns)


@functools.partial(jax.jit, static_argnums=3)
def normalise(
    pixels: Shaped[AnyArray, "*batch 3 h w"],
    mean: Float[AnyArray, "3 1 1"],
    std: Float[AnyArray, "3 1 1"],
    side: int,
) -> Float[Array, "*batch 3 side_h side_w"]:
    """Normalised colours, with zeros to the right and below.

    Args:
        pixels: Colours from 0 to 255.
        mean: Mean of each colour.
        std: Standard deviation of each colour.
        side: Height and width of the result.
    """
    batch = pixels.ndim - 3
    mean, std = (x.reshape((1,) * batch + (3, 1, 1)) for x in (mean, std))
    colours = (jnp.asarray(pixels, jnp.float32) - mean) / std
    height, width = pixels.shape[-2:]
    return jnp.pad(colours, ((0, 0),) * (batch + 1) + ((0, side - height), (0, side - width)))
