"""Masks that are similar to a given mask, by Segment Anything's own image embedding.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), appendix D.6: the embedding, which was trained without
classes, tells kinds of things apart all the same.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8
from PIL import Image

from sam_jax.data.framing import frame_image
from sam_jax.data.object_crops import find_crop
from sam_jax.inference.overlay import draw_everything
from sam_jax.inference.steps import embed_images
from sam_jax.models import Model
from sam_jax.ops.arguments import check_count, check_image
from sam_jax.ops.normalisation import to_unit_length
from sam_jax.types import ImageEmbedding, InputError


class SimilarMasks(NamedTuple):
    """Masks in the order of their similarity to another.

    Attributes:
        numbers: Numbers of the masks, the most similar first.
        similarities: Their similarities to the other, cosines.
    """

    numbers: Int[np.ndarray, " k"]
    similarities: Float[np.ndarray, " k"]


def embed_masks(
    model: Model, image: UInt8[np.ndarray, "h w 3"], masks: Sequence[Bool[np.ndarray, "h w"]]
) -> Float[np.ndarray, "m d"]:
    """A feature of unit length for each mask: the image embedding of a square crop around it, averaged over the mask.

    The mean is over the crop and its mirror image, so that it does not matter which way a thing looks.

    Args:
        model: Model with its weights.
        image: RGB photo.
        masks: Masks of the photo.

    Raises:
        InputError: A mask is empty, or so thin that its crop vanishes in the model's input.
    """
    image = check_image(image)
    features = [np.zeros((0, model.config.image_encoder.out_channels), np.float32)]
    for mask in masks:
        cut = _cut_out(mask)
        views = [(image[cut], mask[cut]), (image[cut][:, ::-1], mask[cut][:, ::-1])]
        framed, weights, fitted = [], [], []
        for view, of_view in views:
            pixels, framing = frame_image(view, model.config.image_encoder.image_size)
            framed.append(pixels)
            fitted.append(framing.fitted)
            weights.append(_cover(of_view, framing.fitted, model))
        embedding = embed_images(model, np.stack(framed), np.array(fitted, np.int32))
        mean = _average(model, embedding, np.stack(weights)).mean(axis=0)
        features.append(np.asarray(to_unit_length(mean))[None])
    return np.concatenate(features)


def find_similar(
    query: Float[np.ndarray, " d"], features: Float[np.ndarray, "m d"], count: int | None = None
) -> SimilarMasks:
    """The masks that are most similar to another.

    Args:
        query: Feature of the other mask.
        features: Features of the masks, from `embed_masks`.
        count: Number of masks; None for all.

    >>> find_similar(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]), 2)
    SimilarMasks(numbers=array([1, 2]), similarities=array([1. , 0.6]))
    """
    if count is not None:
        check_count("count", count, least=1)
    cosines = features @ query
    numbers = np.argsort(-cosines, kind="stable")[:count]
    return SimilarMasks(numbers, cosines[numbers])


def draw_similar(
    image: UInt8[np.ndarray, "h w 3"],
    query: Bool[np.ndarray, "h w"],
    masks: Sequence[Bool[np.ndarray, "h w"]],
    similar: SimilarMasks,
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a photo with a mask, and of those that are similar to it, each with its similarity.

    Args:
        image: RGB photo.
        query: The mask to which others are compared.
        masks: All masks that were compared.
        similar: What `find_similar` chose of them.
    """
    chosen = [masks[number] for number in similar.numbers]
    names = [f"{similarity:.2f}" for similarity in similar.similarities.tolist()]
    return draw_everything(image, [query, *chosen], ["this", *names])


def _cut_out(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """The rows and columns of a square around a mask, as far as the photo reaches."""
    box = find_crop(mask)
    top, left = max(0, math.floor(box.top)), max(0, math.floor(box.left))
    return slice(top, math.ceil(box.top + box.height)), slice(left, math.ceil(box.left + box.width))


def _cover(
    mask: Bool[np.ndarray, "h w"], fitted: tuple[int, int], model: Model
) -> Float[np.ndarray, "gh gw"]:
    """Share of each patch of the model's input that a mask covers, of a crop that is fitted into the input."""
    encoder = model.config.image_encoder
    framed = np.zeros(encoder.image_size, np.float32)
    resized = Image.fromarray(mask.astype(np.float32)).resize(
        (fitted[1], fitted[0]), Image.Resampling.BOX
    )
    framed[: fitted[0], : fitted[1]] = np.asarray(resized)
    gh, gw = encoder.grid
    shares = framed.reshape(gh, encoder.patch_size, gw, encoder.patch_size).mean(axis=(1, 3))
    if not shares.any():
        raise InputError("a mask has pixels; this one vanishes in the model's input")
    return shares


@jax.jit
def _average(
    model: Model, embedding: ImageEmbedding, weights: Float[np.ndarray, "b gh gw"] | Array
) -> Float[Array, "b d"]:
    """Mean feature of each image, weighted over the grid."""
    features = jnp.asarray(model.sam.features_of(embedding), jnp.float32)
    weights = jnp.asarray(weights)
    return jnp.einsum("bhwd,bhw->bd", features, weights / weights.sum((1, 2), keepdims=True))
