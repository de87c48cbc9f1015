"""The steps of inference as compiled programs: embedding images, and predicting masks."""

import functools

import jax
from jaxtyping import Int, UInt8

from sam_jax.data.framing import normalise
from sam_jax.models import Model, decode_masks, encode_image, encode_prompts
from sam_jax.types import AnyArray, ImageEmbedding, MaskPrediction, Prompts


@jax.jit
def embed_images(
    model: Model, framed: UInt8[AnyArray, "b h w 3"], fitted: Int[AnyArray, "b 2"]
) -> ImageEmbedding:
    """Image embeddings.

    Args:
        model: Model with its weights.
        framed: Resized, padded images from `sam_jax.data.framing.frame_image`.
        fitted: Height and width of each image inside its frame.
    """
    return encode_image(model, normalise(framed, fitted))


@functools.partial(jax.jit, static_argnames="multimask_output")
def predict_masks(
    model: Model,
    image_embeddings: ImageEmbedding,
    prompts: Prompts,
    *,
    multimask_output: bool,
) -> MaskPrediction:
    """Low-resolution logits and predicted IoU for every prompt of every image.

    Args:
        model: Model with its weights.
        image_embeddings: Embeddings of the images, from `embed_images`.
        prompts: Points, boxes and masks in the padded input, from `sam_jax.inference.prompts.make_prompts`.
        multimask_output: Whether to give three masks for each prompt, or one.
    """
    embedded = encode_prompts(model, prompts)
    return decode_masks(model, image_embeddings, embedded, multimask_output=multimask_output)
