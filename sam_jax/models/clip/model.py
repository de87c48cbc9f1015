"""CLIP with its weights and its tokeniser: phrases and images as vectors of one space."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sam_jax.models.clip.clip import Clip
from sam_jax.models.clip.config import ClipConfig
from sam_jax.models.clip.tokeniser import ClipTokeniser
from sam_jax.models.compute import ON_CPU, Compute
from sam_jax.ops.normalisation import to_unit_length
from sam_jax.types import AnyArray, InputError, Variables

BATCH_SIZES = (1, 8, 32)
"""Numbers of phrases or images that are computed together, the rest filled up: one program each serves all numbers."""


@flax.struct.dataclass
class ClipModel:
    """A CLIP with its weights: a pytree, whose leaves are the weights, that passes through `jax.jit` and friends.

    Attributes:
        config: Sizes of the model.
        variables: Weights of the model.
        compute: Precision.
        tokeniser: What makes tokens of phrases; None where only images are embedded.
    """

    config: ClipConfig = flax.struct.field(pytree_node=False)
    variables: Variables = flax.struct.field()
    compute: Compute = flax.struct.field(pytree_node=False, default=ON_CPU)
    tokeniser: ClipTokeniser | None = flax.struct.field(pytree_node=False, default=None)

    def __repr__(self) -> str:
        height, width = self.config.image.image_size
        return (
            f"ClipModel(image tower of width {self.config.image.width} and depth {self.config.image.depth}, "
            f"input {height}x{width}, features of width {self.config.width}, {self.compute.dtype})"
        )

    def apply(self, *arguments: Any, method: str) -> Any:
        """Run a method of the Flax module with the weights, whether they are arrays of JAX or of NumPy.

        Args:
            *arguments: Positional arguments of the method.
            method: Name of the method of `Clip`.
        """
        variables = jax.tree.map(jnp.asarray, self.variables)
        return Clip(self.config, self.compute).apply(variables, *arguments, method=method)


def embed_tokens(model: ClipModel, tokens: Int[AnyArray, "n t"]) -> Float[Array, "n d"]:
    """Features of phrases, of unit length, in float32."""
    return to_unit_length(model.apply(tokens, method="encode_text").astype(jnp.float32))


def embed_pixels(
    model: ClipModel,
    pixels: Float[AnyArray, "n h w 3"],
    patches: Bool[AnyArray, "n gh gw"] | None = None,
) -> Float[Array, "n d"]:
    """Features of images, of unit length, in float32.

    Args:
        model: Model with its weights.
        pixels: Images of the model's size, normalised by CLIP's mean and standard deviation.
        patches: Patches to which the attention of the last block is confined; None for all.
    """
    return to_unit_length(model.apply(pixels, patches, method="encode_image").astype(jnp.float32))


def compare(
    model: ClipModel, images: Float[AnyArray, "n d"], phrases: Float[AnyArray, "m d"]
) -> Float[Array, "n m"]:
    """Logits of every image and phrase: their cosine, scaled as the model has learned.

    Args:
        model: Model with its weights.
        images: Features of images, of unit length.
        phrases: Features of phrases, of unit length.
    """
    return model.apply(images, phrases, method="compare")


_embed_tokens = jax.jit(embed_tokens)
_embed_pixels = jax.jit(embed_pixels)


def embed_text(model: ClipModel, phrases: Any) -> Float[np.ndarray, "n d"]:
    """Features of phrases, of unit length; another phrase, or another number of them, compiles nothing new.

    Args:
        model: Model with its weights and its tokeniser.
        phrases: List of phrases, in any script; what goes beyond the model's context is cut.

    Raises:
        InputError: A phrase is empty, or the model has no tokeniser.
    """
    if model.tokeniser is None:
        raise InputError("this CLIP was loaded without its words: load_clip brings them")
    tokens = model.tokeniser(phrases)
    return _in_batches(
        model, lambda chosen: _embed_tokens(_unworded(model), tokens[chosen]), len(tokens)
    )


def embed_prompts(model: ClipModel, phrases: Any) -> Float[np.ndarray, "n d"]:
    """Features of phrases, of unit length, in place of features of images, with which Segment Anything learns text.

    Phrases and images lie apart in CLIP's space, even those that fit. Where the weights hold how far they do on
    average, phrases are moved by it; else these are the features of `embed_text`.

    Args:
        model: Model with its weights and its tokeniser.
        phrases: List of phrases, in any script; what goes beyond the model's context is cut.

    Raises:
        InputError: A phrase is empty, or the model has no tokeniser.
    """
    features = embed_text(model, phrases)
    if not model.config.has_prompt_shift:
        return features
    shift = np.asarray(model.variables["params"]["prompt_shift"], np.float32)
    return np.asarray(to_unit_length(features + shift))


def embed_images(
    model: ClipModel,
    pixels: Float[AnyArray, "n h w 3"],
    patches: Bool[AnyArray, "n gh gw"] | None = None,
) -> Float[np.ndarray, "n d"]:
    """Features of images, of unit length; another number of images compiles nothing new.

    Args:
        model: Model with its weights.
        pixels: Images of the model's size, normalised by CLIP's mean and standard deviation.
        patches: Patches to which the attention of the last block is confined; None for all.

    Raises:
        InputError: The images have another size than the model's.
    """

    def embed(chosen: Int[np.ndarray, " k"]) -> Array:
        of_objects = None if patches is None else patches[chosen]
        return _embed_pixels(_unworded(model), pixels[chosen], of_objects)

    return _in_batches(model, embed, pixels.shape[0])


def _unworded(model: ClipModel) -> ClipModel:
    """The model without its tokeniser, on which no program depends."""
    return model.replace(tokeniser=None)  # pyright: ignore[reportAttributeAccessIssue]


def _in_batches(
    model: ClipModel, embed: Callable[[Int[np.ndarray, " k"]], Array], count: int
) -> Float[np.ndarray, "n d"]:
    """Features in batches of few sizes; a batch that is not full repeats its last element."""
    parts = [np.zeros((0, model.config.width), np.float32)]
    start = 0
    while start < count:
        left = count - start
        size = next((size for size in BATCH_SIZES if size >= left), BATCH_SIZES[-1])
        chosen = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(np.asarray(embed(chosen))[:left])
        start += size
    return np.concatenate(parts)
