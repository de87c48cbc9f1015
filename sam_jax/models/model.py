"""A model with its weights, and the pure functions that run it over batches of images and prompts."""

import math
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sam_jax.models.blocks import repeat_blocks
from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.models.config import SamConfig
from sam_jax.models.fine.sam import FineSam
from sam_jax.models.sam import Sam
from sam_jax.ops.batching import map_images, map_in_batches
from sam_jax.types import (
    AnyArray,
    EncodedPrompts,
    ImageEmbedding,
    MaskPrediction,
    Prompts,
    Variables,
)


@flax.struct.dataclass
class Model:
    """A model with its weights: a pytree, whose leaves are the weights, that passes through `jax.jit` and friends.

    Attributes:
        config: Sizes of the model.
        variables: Weights of the model.
        compute: Precision, and what is traded for memory.
    """

    config: SamConfig = flax.struct.field(pytree_node=False)
    variables: Variables = flax.struct.field()
    compute: Compute = flax.struct.field(pytree_node=False, default=ON_CPU)

    def __repr__(self) -> str:
        encoder = self.config.image_encoder
        height, width = encoder.image_size
        numbers = sum(math.prod(np.shape(leaf)) for leaf in jax.tree.leaves(self.variables))
        additions = "" if self.config.fine is None else ", with additions"
        if self.config.prompt_encoder.text_width is not None:
            additions += ", with text prompts"
        return (
            f"Model(ViT of width {encoder.width} and depth {encoder.depth}, input {height}x{width}, "
            f"{numbers / 1e6:.1f} million parameters, {self.compute.dtype}{additions})"
        )

    @property
    def sam(self) -> Sam:
        """The Flax module."""
        return make_sam(self.config, self.compute)

    def apply(self, *arguments: Any, method: str, **options: Any) -> Any:
        """Run a method of the Flax module with the weights, whether they are arrays of JAX or of NumPy.

        Args:
            *arguments: Positional arguments of the method.
            method: Name of the method of `sam`.
            **options: Keyword arguments of the method.
        """
        variables = jax.tree.map(jnp.asarray, self.variables)
        return self.sam.apply(variables, *arguments, method=method, **options)


def without_text(model: Model) -> Model:
    """The same model without its text projection, where nothing takes text: an ordinary Segment Anything."""
    config, variables = model.config, model.variables
    if config.prompt_encoder.text_width is None:
        return model
    params = dict(variables["params"])
    params["prompt_encoder"] = {
        name: leaf for name, leaf in params["prompt_encoder"].items() if name != "text_projection"
    }
    config = replace(config, prompt_encoder=replace(config.prompt_encoder, text_width=None))
    return Model(config, {**variables, "params": params}, model.compute)


def make_sam(config: SamConfig, compute: Compute = ON_CPU) -> Sam:
    """The Flax module of a model: a `Sam`, or one with the additions that `config.fine` asks for."""
    return Sam(config, compute) if config.fine is None else FineSam(config, compute)


def encode_image(
    model: Model,
    pixels: Float[AnyArray, "b h w 3"],
    branches: Float[Array, "depth b 2"] | None = None,
) -> ImageEmbedding:
    """Image embeddings of normalised, padded images.

    Args:
        model: Model with its weights.
        pixels: Images from `sam_jax.data.framing.frame_image`, through `sam_jax.data.framing.normalise`.
        branches: Factors of every block's attention and MLP, in training with drop path
            ([Huang et al. 2016](https://arxiv.org/abs/1603.09382)).

    Raises:
        InputError: The images have another size than the model's.
    """
    encode = partial(model.apply, method="encode_image")
    if pixels.shape[0] == 0:
        of_one = jax.eval_shape(encode, jnp.zeros((1, *pixels.shape[1:])))
        return jax.tree.map(lambda leaf: jnp.zeros((0, *leaf.shape[1:]), leaf.dtype), of_one)
    return encode(pixels, branches)


def encode_prompts(model: Model, prompts: Prompts) -> EncodedPrompts:
    """Tokens and dense maps of prompts.

    Args:
        model: Model with its weights.
        prompts: Points, boxes and masks, in the padded input, and text.

    Raises:
        InputError: The mask prompts have another size than low-resolution logits, or the weights are not for text of
            this width, or for none.
    """
    return model.apply(prompts, method="encode_prompts")


def decode_masks(
    model: Model,
    image_embeddings: ImageEmbedding,
    prompts: EncodedPrompts,
    *,
    multimask_output: bool,
) -> MaskPrediction:
    """Masks and predicted IoU for every prompt of every image.

    Args:
        model: Model with its weights; `model.compute.prompts_at_once` says how many prompts are decoded together.
        image_embeddings: Embeddings from `encode_image`.
        prompts: Embeddings from `encode_prompts`.
        multimask_output: Whether to give three masks for each prompt (best for a single point) or one (for several
            points).
    """
    sam, at_once = model.sam, model.compute.prompts_at_once
    b, n = prompts.tokens.shape[:2]
    positions = model.apply(method="encode_grid")
    # One vector a prompt where there is no mask prompt: nothing large is copied.
    prompts = prompts._replace(
        dense=jnp.broadcast_to(prompts.dense, (b, n, *prompts.dense.shape[2:]))
    )

    def decode_image(image: Any, of_image: EncodedPrompts) -> Any:

        def decode_prompt(prompt: EncodedPrompts) -> Any:
            return model.apply(
                image, positions, prompt, multimask_output=multimask_output, method="decode_prompt"
            )

        of_each = max(1, at_once // max(1, b))
        return map_in_batches(decode_prompt, sam.relate(image, of_image), of_each)

    if at_once >= b:
        return MaskPrediction(*map_images(decode_image, image_embeddings, prompts))
    both = (image_embeddings, prompts)
    return MaskPrediction(*map_in_batches(lambda both: decode_image(*both), both, at_once))


def abstract_variables(config: SamConfig) -> Variables:
    """The tree of weights as shapes and dtypes; nothing is computed."""
    # Each caller gets dicts of its own.
    return jax.tree.map(lambda leaf: leaf, _trace_variables(config))


@lru_cache(maxsize=16)
def _trace_variables(config: SamConfig) -> Variables:
    """What `abstract_variables` returns; tracing takes a second, and a run asks several times."""
    encoder = config.image_encoder
    is_global = [index in encoder.global_blocks for index in range(encoder.depth)]
    kinds = sorted(set(is_global))
    short = replace(encoder, depth=len(kinds), global_blocks=tuple(np.flatnonzero(kinds).tolist()))
    config = replace(config, image_encoder=short)
    height, width = config.image_encoder.image_size
    text_width = config.prompt_encoder.text_width
    prompts = Prompts(
        jnp.zeros((1, 1, 1, 2)),
        jnp.ones((1, 1, 1), jnp.int32),
        jnp.zeros((1, 1, height // 4, width // 4)),
        None if text_width is None else jnp.zeros((1, 1, text_width)),
    )
    init = partial(make_sam(config).init, multimask_output=True)
    pixels = jnp.zeros((1, height, width, 3))
    variables: Any = jax.eval_shape(init, jax.random.key(0), pixels, prompts)
    repeat_blocks(variables["params"]["image_encoder"], is_global)
    return variables
