"""The whole model, its sizes, and the pure functions that run it."""

import math
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.models.details import QUARTER, Details, unfold_quarter, unpack
from sam_jax.models.geodesics import measure_distances
from sam_jax.models.image_encoder import ImageEncoder, ImageEncoderConfig
from sam_jax.models.mask_decoder import MaskDecoder, MaskDecoderConfig
from sam_jax.models.prompt_encoder import PromptEncoder, PromptEncoderConfig
from sam_jax.ops.batching import map_in_batches
from sam_jax.types import AnyArray, InputError, MaskPrediction, PromptEmbeddings, Prompts, Variables


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """Sizes of the whole model: what its weights must fit."""

    image_encoder: ImageEncoderConfig
    prompt_encoder: PromptEncoderConfig = PromptEncoderConfig()
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()

    def __post_init__(self) -> None:
        widths = {
            self.image_encoder.out_channels,
            self.prompt_encoder.width,
            self.mask_decoder.width,
        }
        if len(widths) > 1:
            raise InputError(
                "the image embedding, the prompt encoder and the mask decoder have one width, "
                f"not {sorted(widths)}"
            )
        patch_size = self.image_encoder.patch_size
        if self.mask_decoder.click_maps and patch_size != 4 * QUARTER:
            raise InputError(
                f"maps of clicks are of patches of {4 * QUARTER} pixels, not of patch_size {patch_size}"
            )
        if self.mask_decoder.mask_scoring and not self.image_encoder.step_costs:
            raise InputError(
                "mask_scoring looks at the costs of steps: set step_costs of the image encoder too"
            )

    @property
    def bytes_per_prompt(self) -> int:
        """Size of the image tokens, in float32, that the decoder changes for each prompt."""
        encoder = self.image_encoder
        cells = math.prod(side // encoder.patch_size for side in encoder.image_size)
        return 4 * cells * self.mask_decoder.width


VIT_B = SamConfig(
    image_encoder=ImageEncoderConfig(width=768, depth=12, num_heads=12, global_blocks=(2, 5, 8, 11))
)
VIT_L = SamConfig(
    image_encoder=ImageEncoderConfig(
        width=1024, depth=24, num_heads=16, global_blocks=(5, 11, 17, 23)
    )
)
VIT_H = SamConfig(
    image_encoder=ImageEncoderConfig(
        width=1280, depth=32, num_heads=16, global_blocks=(7, 15, 23, 31)
    )
)
TINY = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(512, 512),
        width=192,
        depth=8,
        num_heads=6,
        window_size=8,
        global_blocks=(1, 3, 5, 7),
        out_channels=128,
        detail_width=32,
        step_costs=3,
    ),
    prompt_encoder=PromptEncoderConfig(width=128),
    mask_decoder=MaskDecoderConfig(
        width=128, mlp_width=512, iou_head_width=128, click_maps=True, mask_scoring=True
    ),
)
"""Small enough to ship its weights; but for the details, the official classes can be built with the same numbers."""


class Sam(nn.Module):
    """Segment Anything: prompts and an image in, masks out."""

    config: SamConfig
    compute: Compute = ON_CPU

    def setup(self) -> None:
        config, dtype = self.config, self.compute.jax_dtype
        self.image_encoder = ImageEncoder(config.image_encoder, self.compute)
        self.prompt_encoder = PromptEncoder(
            config.prompt_encoder,
            config.image_encoder.image_size,
            config.image_encoder.grid,
            dtype,
        )
        self.mask_decoder = MaskDecoder(
            config.mask_decoder,
            config.image_encoder.detail_width > 0,
            config.image_encoder.step_costs,
            dtype,
        )

    def __call__(
        self, pixels: Float[AnyArray, "b h w 3"], prompts: Prompts, *, multimask_output: bool
    ) -> MaskPrediction:
        """All three steps in a row."""
        embeddings = self.encode_image(pixels)
        return self.decode_masks(
            embeddings, self.encode_prompts(prompts), multimask_output=multimask_output
        )

    def encode_image(
        self,
        pixels: Float[AnyArray, "b h w 3"],
        branches: Float[Array, "depth b 2"] | None = None,
    ) -> Float[Array, "b gh gw d"]:
        """Image embeddings of normalised, padded images; see `ImageEncoder`."""
        return self.image_encoder(pixels, branches)

    def encode_prompts(self, prompts: Prompts) -> PromptEmbeddings:
        """Tokens and dense maps of prompts; no image is needed."""
        return self.prompt_encoder(prompts)

    def decode_masks(
        self,
        image_embeddings: Float[AnyArray, "b gh gw d"],
        prompts: PromptEmbeddings,
        *,
        multimask_output: bool,
    ) -> MaskPrediction:
        """Masks for every prompt of every image.

        Args:
            image_embeddings: from `encode_image`.
            prompts: from `encode_prompts`.
            multimask_output: three masks for each prompt (best for a single point), or one (for several points).
        """
        positions = self.prompt_encoder.encode_grid()
        width = self.config.mask_decoder.width
        kinds = self.config.image_encoder.step_costs

        def split(embedding: Array) -> tuple[Array, Details | None, Array | None]:
            """The embedding proper, details, and costs of steps."""
            if not self.config.image_encoder.detail_width:
                return embedding, None, None
            image, details = embedding[..., :width], embedding[..., width : 4 * width]
            if not kinds:
                return image, unpack(details, width), None
            costs = embedding[..., 4 * width :].reshape(*image.shape[:2], 2, 2, 2, 2, 2 * kinds)
            return image, unpack(details, width), unfold_quarter(costs)

        if self.is_initializing():
            image, details, costs = split(jnp.asarray(image_embeddings[0]))
            clicks = prompts.clicks[0]
            logits, iou = self.mask_decoder(
                image,
                details,
                positions,
                prompts.tokens[0, 0],
                prompts.present[0, 0],
                clicks[0],
                costs,
                None if costs is None else measure_distances(clicks[:1], costs)[0],
                multimask_output=multimask_output,
            )
            return MaskPrediction(logits[None, None], iou[None, None])
        decoder, variables = self.mask_decoder.unbind()
        b, n = prompts.tokens.shape[:2]
        at_once = self.compute.prompts_at_once
        dense = jnp.broadcast_to(
            prompts.dense, (*(b, n), *prompts.dense.shape[2:])
        )  # one vector a prompt where there is no mask prompt: nothing large is copied

        def decode_image(image_prompts: tuple[Array, ...]) -> Any:
            embedding, tokens, present, dense, clicks = image_prompts
            image, details, costs = split(embedding)
            distances = None if costs is None else measure_distances(clicks, costs)

            def decode_prompt(prompt: tuple[Any, ...]) -> Any:
                tokens, present, dense, clicks, distances = prompt
                return decoder.apply(
                    variables,
                    image + dense.astype(image.dtype),
                    details,
                    positions,
                    tokens,
                    present,
                    clicks,
                    costs,
                    distances,
                    multimask_output=multimask_output,
                )

            return map_in_batches(
                decode_prompt, (tokens, present, dense, clicks, distances), at_once
            )

        images_at_once = max(1, at_once // n)
        logits, iou = map_in_batches(
            decode_image,
            (image_embeddings, prompts.tokens, prompts.present, dense, prompts.clicks),
            images_at_once,
        )
        return MaskPrediction(logits, iou)


@flax.struct.dataclass
class Model:
    """A model with its weights: a pytree, whose leaves are the weights, that passes through `jax.jit` and friends."""

    sam: Sam = flax.struct.field(pytree_node=False)
    variables: Variables = flax.struct.field()

    @property
    def config(self) -> SamConfig:
        return self.sam.config


def encode_image(
    model: Model,
    pixels: Float[AnyArray, "b h w 3"],
    branches: Float[Array, "depth b 2"] | None = None,
) -> Float[Array, "b gh gw d"]:
    """Image embeddings of normalised, padded images (`sam_jax.data.framing`); see `ImageEncoder`."""
    return model.sam.apply(model.variables, pixels, branches, method=Sam.encode_image)  # pyright: ignore[reportReturnType]


def encode_prompts(model: Model, prompts: Prompts) -> PromptEmbeddings:
    """Tokens and dense maps of prompts."""
    return model.sam.apply(model.variables, prompts, method=Sam.encode_prompts)  # pyright: ignore[reportReturnType]


def decode_masks(
    model: Model,
    image_embeddings: Float[AnyArray, "b gh gw d"],
    prompts: PromptEmbeddings,
    *,
    multimask_output: bool,
) -> MaskPrediction:
    """Masks and predicted IoU for every prompt of every image; see `Sam.decode_masks`."""
    return model.sam.apply(  # pyright: ignore[reportReturnType]
        model.variables,
        image_embeddings,
        prompts,
        multimask_output=multimask_output,
        method=Sam.decode_masks,
    )


def abstract_variables(config: SamConfig) -> Variables:
    """The tree of weights as shapes and dtypes; nothing is computed."""

    def init() -> Variables:
        pixels = jnp.zeros((1, *config.image_encoder.image_size, 3))
        prompts = Prompts(jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32))
        return Sam(config).init(jax.random.key(0), pixels, prompts, multimask_output=True)  # pyright: ignore[reportReturnType]

    return jax.eval_shape(init)
