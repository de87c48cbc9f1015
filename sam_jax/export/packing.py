"""Image embeddings as one array, with channels first, as tools for Segment Anything hand them on.

A Segment Anything's embedding is one array. The shipped small model has more to tell its decoder; all of it lies behind
the channels of the embedding, at the places of the grid, and tools pass it on without looking.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.models import Model, abstract_variables, encode_image
from sam_jax.types import AnyArray, ImageEmbedding


class Packing(NamedTuple):
    """How the arrays of an embedding lie in one.

    Attributes:
        structure: The pytree of the arrays.
        shapes: Shape of each array for one image, without the axis of images.
        grid: Height and width of the grid.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    grid: tuple[int, int]

    @property
    def channels(self) -> int:
        """Number of channels of the packed array."""
        gh, gw = self.grid
        return sum(math.prod(shape) for shape in self.shapes) // (gh * gw)

    def pack(self, embedding: ImageEmbedding) -> Float[Array, "b c gh gw"]:
        """The embeddings of a batch of images as one array."""
        gh, gw = self.grid
        parts = []
        for leaf, shape in zip(jax.tree.leaves(embedding), self.shapes, strict=True):
            if shape[:2] == self.grid:
                part = jnp.reshape(leaf, (leaf.shape[0], gh, gw, -1))
            else:  # a map with several rows and columns for each place of the grid
                down, across = shape[0] // gh, shape[1] // gw
                blocks = leaf.reshape(leaf.shape[0], gh, down, gw, across, -1)
                part = blocks.swapaxes(2, 3).reshape(leaf.shape[0], gh, gw, -1)
            parts.append(part)
        packed = parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
        return packed.transpose(0, 3, 1, 2)

    def unpack(self, packed: Float[AnyArray, "b c gh gw"]) -> ImageEmbedding:
        """The embeddings of a batch of images."""
        gh, gw = self.grid
        rows = jnp.transpose(jnp.asarray(packed), (0, 2, 3, 1))
        b, leaves, start = rows.shape[0], [], 0
        for shape in self.shapes:
            count = math.prod(shape) // (gh * gw)
            part = rows[..., start : start + count]
            start += count
            if shape[:2] != self.grid:
                down, across = shape[0] // gh, shape[1] // gw
                part = part.reshape(b, gh, gw, down, across, -1).swapaxes(2, 3)
            leaves.append(part.reshape(b, *shape))
        return jax.tree.unflatten(self.structure, leaves)


def find_packing(model: Model) -> Packing:
    """How the embeddings of a model are packed."""
    config = model.config
    pixels = jax.ShapeDtypeStruct((1, *config.image_encoder.image_size, 3), jnp.float32)
    abstract = Model(config, abstract_variables(config), model.compute)
    leaves, structure = jax.tree.flatten(jax.eval_shape(encode_image, abstract, pixels))
    shapes = tuple(tuple(leaf.shape[1:]) for leaf in leaves)
    return Packing(structure, shapes, config.image_encoder.grid)
