"""The mask decoder by its official name."""

import functools
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from sam_jax.inference.prompts import POINT_SIZES, PROMPT_SIZES, round_up
from sam_jax.models import (
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    make_sam,
)
from sam_jax.ops.batching import map_in_batches
from sam_jax.segment_anything.modeling.image_encoder import require_gelu
from sam_jax.segment_anything.modeling.module import Part
from sam_jax.segment_anything.modeling.transformer import TwoWayTransformer
from sam_jax.segment_anything.tensors import (
    Tensor,
    as_array,
    is_tensor,
    join,
    like,
    wants_gradient,
)
from sam_jax.types import (
    AnyArray,
    EncodedPrompts,
    ImageEmbedding,
    InputError,
    PromptEmbeddings,
    Variables,
)


@functools.partial(jax.jit, static_argnums=(0, 1), static_argnames="multimask_output")
def decode_prompts(
    config: SamConfig,
    steps: Compute,
    variables: Variables,
    image: Float[AnyArray, "images d gh gw"],
    positions: Float[AnyArray, "1 d gh gw"],
    tokens: Float[AnyArray, "n t d"],
    dense: Float[AnyArray, "n d _gh _gw"],
    present: Bool[AnyArray, "n t"],
    beyond: tuple[ImageEmbedding, EncodedPrompts] | None,
    *,
    multimask_output: bool,
) -> tuple[Float[Array, "n m h w"], Float[Array, "n m"]]:
    """Mask logits and predicted IoU of prompts.

    Args:
        config: Sizes of the model.
        steps: Precision, and how many prompts are decoded together.
        variables: Weights of the mask decoder.
        image: Embedding of one image for all prompts, or of one for each.
        positions: Positional encoding of the image embedding's places.
        tokens: Tokens of the prompts.
        dense: Dense maps of the prompts, of size 1 where they are the same everywhere.
        present: Which tokens take part in attention.
        beyond: Embedding and prompts of a model that needs more than Segment Anything does.
        multimask_output: Whether to give three masks for each prompt, or one.
    """
    sam = make_sam(config, steps)
    image, positions, dense = (
        jnp.moveaxis(jnp.asarray(x, jnp.float32), 1, -1) for x in (image, positions, dense)
    )
    embedding: Any = image
    prompts: Any = PromptEmbeddings(jnp.asarray(tokens, jnp.float32), jnp.asarray(present), dense)
    if beyond is not None:
        embedding, prompts = beyond[0], beyond[1]._replace(**prompts._asdict())

    def decode(of_image: Any, prompt: Any) -> Any:
        return sam.apply(
            variables,
            of_image,
            positions[0],
            prompt,
            multimask_output=multimask_output,
            method="decode_prompt",
        )

    at_once = steps.prompts_at_once
    if len(image) > 1:
        return map_in_batches(lambda both: decode(*both), (embedding, prompts), at_once)
    only = jax.tree.map(lambda leaf: leaf[0], embedding)
    return map_in_batches(functools.partial(decode, only), sam.relate(only, prompts), at_once)


class MaskDecoder(Part):
    """The mask decoder, with the official arguments.

    Args:
        transformer_dim: Width of the transformer's tokens.
        transformer: Sizes of the transformer.
        num_multimask_outputs: Number of masks for an ambiguous prompt, beside the one for an unambiguous prompt.
        activation: Activation of the upscaling, GELU; None for the same.
        iou_head_depth: Number of layers that predict the masks' IoU.
        iou_head_hidden_dim: Hidden width of those layers.

    Raises:
        InputError: The arguments ask for what no Segment Anything has.
    """

    prefix = "mask_decoder"

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: Any,
        num_multimask_outputs: int = 3,
        activation: Any = None,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        require_gelu("activation", activation)
        if not isinstance(transformer, TwoWayTransformer):
            raise InputError(
                f"transformer is a TwoWayTransformer of this package, not {type(transformer).__name__}"
            )
        if transformer.embedding_dim != transformer_dim:
            raise InputError(
                f"transformer_dim {transformer_dim} is not the transformer's width, {transformer.embedding_dim}"
            )
        super().__init__(
            SamConfig(
                image_encoder=ImageEncoderConfig(
                    image_size=(16, 16),
                    width=transformer_dim,
                    depth=1,
                    num_heads=1,
                    global_blocks=(0,),
                    out_channels=transformer_dim,
                ),
                prompt_encoder=PromptEncoderConfig(width=transformer_dim),
                mask_decoder=MaskDecoderConfig(
                    width=transformer_dim,
                    depth=transformer.depth,
                    num_heads=transformer.num_heads,
                    mlp_width=transformer.mlp_dim,
                    iou_head_depth=iou_head_depth,
                    iou_head_width=iou_head_hidden_dim,
                    num_multimask_outputs=num_multimask_outputs,
                ),
            )
        )

    @property
    def transformer_dim(self) -> int:
        """Width of the transformer's tokens."""
        return self.config.mask_decoder.width

    @property
    def num_multimask_outputs(self) -> int:
        """Number of masks for an ambiguous prompt."""
        return self.config.mask_decoder.num_multimask_outputs

    @property
    def num_mask_tokens(self) -> int:
        """Number of masks altogether."""
        return self.num_multimask_outputs + 1

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Mask logits n × m × h × w at a quarter of the padded input's size, and their predicted IoU n × m.

        Args:
            image_embeddings: Embedding 1 × d × gh × gw of the image, or one for each prompt.
            image_pe: Positional encoding 1 × d × gh × gw, from `PromptEncoder.get_dense_pe`.
            sparse_prompt_embeddings: Tokens n × t × d of the prompts.
            dense_prompt_embeddings: Dense maps n × d × gh × gw of the prompts.
            multimask_output: Whether to give three masks for each prompt, or one.

        Raises:
            InputError: The shapes don't fit.
        """
        image, sparse, dense = image_embeddings, sparse_prompt_embeddings, dense_prompt_embeddings
        if len(image) not in (1, len(sparse)) or len(dense) != len(sparse):
            raise InputError(
                f"{len(sparse)} prompts go with one image embedding or as many, and with as many dense maps, "
                f"not with {len(image)} and {len(dense)}"
            )
        beyond = self._find_beyond(image, sparse)
        if _is_constant(dense):
            dense = dense[..., :1, :1]  # nothing large is copied
        inputs = (image, image_pe, sparse, dense)
        if wants_gradient(*inputs, *self.parameters()):
            present = np.ones(sparse.shape[:2], bool)
            return self._decode(inputs, present, beyond, multimask_output, inputs)
        return self._decode_in_batches(inputs, beyond, multimask_output)

    def _find_beyond(
        self, image: Tensor, sparse: Tensor
    ) -> tuple[ImageEmbedding, EncodedPrompts] | None:
        """What a model that needs more than Segment Anything left on the tensors of its two encoders."""
        if self.config.fine is None:
            return None
        embedding, encoded = getattr(image, "embedding", None), getattr(sparse, "encoded", None)
        if embedding is None or encoded is None:
            raise InputError(
                "the small model that comes with this package needs more than these tensors hold: hand over those that "
                "image_encoder and prompt_encoder gave, not copies or parts of them, or load an official checkpoint"
            )
        return embedding, encoded._replace(tokens=None, dense=None, present=None)

    def _decode(
        self,
        inputs: Sequence[Tensor],
        present: np.ndarray,
        beyond: tuple[ImageEmbedding, EncodedPrompts] | None,
        multimask_output: bool,
        form: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        def decode(variables: Variables, *arrays: Any) -> tuple[Array, Array]:
            return decode_prompts(
                self.config,
                self.steps,
                variables,
                *arrays,
                present,
                beyond,
                multimask_output=bool(multimask_output),
            )

        logits, iou = self.run(decode, *inputs, form=form)
        return logits, iou

    def _decode_in_batches(
        self,
        inputs: Sequence[Tensor],
        beyond: tuple[ImageEmbedding, EncodedPrompts] | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Batches and prompts are filled up to a few sizes, so that few programs are compiled."""
        image, positions, sparse, dense = map(as_array, inputs)
        count, tokens = sparse.shape[:2]
        if count == 0:
            low = (0, self.num_multimask_outputs if multimask_output else 1)
            height, width = image.shape[2:]
            return like(np.zeros((*low, 4 * height, 4 * width), np.float32), *inputs), like(
                np.zeros(low, np.float32), *inputs
            )
        missing = round_up(tokens, POINT_SIZES) - tokens
        sparse = np.pad(sparse, ((0, 0), (0, missing), (0, 0)))
        present = np.tile(np.arange(tokens + missing) < tokens, (count, 1))
        parts = []
        for start in range(0, count, PROMPT_SIZES[-1]):
            size = min(count - start, PROMPT_SIZES[-1])
            taken = start + np.minimum(np.arange(round_up(size, PROMPT_SIZES)), size - 1)
            some = (
                image if len(image) == 1 else image[taken],
                positions,
                sparse[taken],
                dense[taken],
            )
            extra = beyond and (beyond[0], jax.tree.map(itemgetter(taken), beyond[1]))
            logits, iou = self._decode(some, present[taken], extra, multimask_output, inputs)
            parts.append((logits[:size], iou[:size]))
        if len(parts) == 1:
            return parts[0]
        logits, iou = (join(columns) for columns in zip(*parts, strict=True))
        return logits, iou


def _is_constant(dense: Tensor) -> bool:
    """Whether the dense maps are one vector everywhere, repeated without being copied."""
    if is_tensor(dense):
        return dense.stride()[2:] == (0, 0)
    return isinstance(dense, np.ndarray) and dense.strides[2:] == (0, 0)
