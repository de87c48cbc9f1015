"""The functions that are exported: prompts and embeddings in, masks out; images in, embeddings out."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from sam_jax.export.packing import Packing
from sam_jax.models import Model, encode_prompts
from sam_jax.models import encode_image as encode_pixels
from sam_jax.types import AnyArray, PointLabel, Prompts

SINGLE_WEIGHT = 1000.0
FEW_POINTS = 2.5
"""Numbers of the official choice of one mask: fewer points than these are ambiguous."""
LOWEST, HIGHEST = int(PointLabel.ABSENT), int(PointLabel.BOTTOM_RIGHT)
"""Labels of points; what lies beyond becomes the nearest."""


def encode_image(
    model: Model, packing: Packing, x: Float[AnyArray, "1 3 h w"]
) -> Float[Array, "1 c gh gw"]:
    """The embedding of a normalised, padded image with channels first."""
    return packing.pack(encode_pixels(model, jnp.transpose(jnp.asarray(x), (0, 2, 3, 1))))


def find_masks(
    model: Model,
    packing: Packing,
    masks: str,
    image_embeddings: Float[AnyArray, "1 c gh gw"],
    prompts: Prompts,
    has_masks: Bool[AnyArray, "1 n"],
) -> tuple[Float[Array, "n m h w"], Float[Array, "n m"]]:
    """Low-resolution logits and predicted IoU for every prompt of one image.

    Args:
        model: Model with its weights.
        packing: How its embeddings are packed.
        masks: Which masks are wanted.
        image_embeddings: Packed embedding of the image.
        prompts: Prompts with masks, whether they count or not.
        has_masks: Whether the mask of each prompt counts.
    """
    sam = model.sam
    masked: Any = encode_prompts(model, prompts)
    unmasked: Any = encode_prompts(model, prompts._replace(masks=None))
    has_masks = jnp.asarray(has_masks)[..., None, None, None]
    encoded = masked._replace(dense=jnp.where(has_masks, masked.dense, unmasked.dense))
    image, of_image = jax.tree.map(
        lambda leaf: jnp.squeeze(leaf, axis=0), (packing.unpack(image_embeddings), encoded)
    )
    positions = sam.apply(model.variables, method="encode_grid")

    apply: Any = sam.apply

    def decode(prompt: Any) -> tuple[Array, Array]:
        logits, iou = apply(
            model.variables,
            image,
            positions,
            prompt,
            multimask_output=True if masks == "multi" else None,
            method="decode_prompt",
        )
        return _choose(logits, iou, prompt.tokens.shape[0]) if masks == "single" else (logits, iou)

    related = sam.relate(image, of_image)
    count = prompts.labels.shape[1]
    if (
        isinstance(count, int) and count == 1
    ):  # as it is: `jax.vmap` would compute both branches of a choice
        answer = decode(jax.tree.map(lambda leaf: jnp.squeeze(leaf, axis=0), related))
        return jax.tree.map(lambda leaf: leaf[None], answer)
    return jax.vmap(decode)(related)


def _choose(
    logits: Float[Array, "m h w"], iou: Float[Array, " m"], points: Any
) -> tuple[Float[Array, "1 h w"], Float[Array, "1"]]:
    """The mask that the official exporter chooses: with few points the best of three, else the one for several."""
    count = jnp.asarray(points, jnp.float32)
    is_first = jnp.arange(iou.shape[0]) == 0
    weight = jnp.where(is_first, (count - FEW_POINTS) * SINGLE_WEIGHT, 0.0)
    best = jnp.argmax(iou + weight).reshape(1)
    return jnp.take(logits, best, axis=0, mode="clip"), jnp.take(iou, best, axis=0, mode="clip")


def decode_prompt(
    model: Model,
    packing: Packing,
    masks: str,
    image_embeddings: Float[AnyArray, "1 c gh gw"],
    point_coords: Float[AnyArray, "1 p 2"],
    point_labels: Float[AnyArray, "1 p"],
    mask_input: Float[AnyArray, "1 1 h w"],
    has_mask_input: Float[AnyArray, "1"],
) -> tuple[Float[Array, "1 m h w"], Float[Array, "1 m"]]:
    """Low-resolution logits and predicted IoU for one prompt, with the arguments of the official exporter's decoder.

    Args:
        model: Model with its weights.
        packing: How its embeddings are packed.
        masks: Which masks are wanted.
        image_embeddings: Packed embedding of the image.
        point_coords: Points x, y in pixels of the padded input.
        point_labels: A label for every point, of which there may be any number from 1: 1 on the object, 0 beside it, 2
            and 3 the corners of a box, -1 for the point that follows points given without a box.
        mask_input: Low-resolution logits of an earlier answer.
        has_mask_input: Above 0 where `mask_input` counts.
    """
    labels = jnp.round(jnp.asarray(point_labels)).astype(jnp.int32)
    labels = jnp.clip(labels, LOWEST, HIGHEST)
    prompts = Prompts(jnp.asarray(point_coords)[:, None], labels[:, None], jnp.asarray(mask_input))
    has_masks = jnp.asarray(has_mask_input)[:, None] > 0
    return find_masks(model, packing, masks, image_embeddings, prompts, has_masks)
