"""Decoding any number of prompts of one image in batches of a few fixed sizes, so that few programs are compiled."""

from collections.abc import Iterator
from typing import NamedTuple

from jaxtyping import Array, Float

from sam_jax.inference.prompts import pad_prompts, round_up, take_prompts
from sam_jax.inference.steps import predict_masks
from sam_jax.models import Model
from sam_jax.types import ImageEmbedding, Prompts


class DecodedBatch(NamedTuple):
    """The answers to a batch of prompts.

    Attributes:
        prompts: Which of the image's prompts the batch holds.
        logits: Low-resolution logits. Beyond the batch's prompts come answers to repetitions of the last prompt, as
            many as the compiled program needs to have its size.
        iou: Predicted IoU of each mask, without those of the repetitions.
    """

    prompts: slice
    logits: Float[Array, "padded_n m h_low w_low"]
    iou: Float[Array, "n m"]


def decode_in_batches(
    model: Model,
    image_embedding: ImageEmbedding,
    prompts: Prompts,
    sizes: tuple[int, ...],
    *,
    multimask_output: bool,
) -> Iterator[DecodedBatch]:
    """Decode the prompts of one image, batch after batch.

    Args:
        model: Model with its weights.
        image_embedding: Embedding of the image, as `embed_images` gives it for a batch of one image.
        prompts: Prompts of this one image, any number of them.
        sizes: Ascending numbers of prompts that programs are compiled for. Batches have the largest size; the last one
            is filled up to the smallest size that holds it.
        multimask_output: Whether each prompt gets three masks, or the one that is meant for unambiguous prompts.
    """
    count = prompts.labels.shape[1]
    for start in range(0, count, sizes[-1]):
        batch = take_prompts(prompts, slice(start, start + sizes[-1]))
        size = batch.labels.shape[1]
        logits, iou = predict_masks(
            model,
            image_embedding,
            pad_prompts(batch, round_up(size, sizes)),
            multimask_output=multimask_output,
        )
        yield DecodedBatch(slice(start, start + size), logits[0], iou[0, :size])
