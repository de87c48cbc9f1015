"""Images as rows of patches and back, random masks over patches, and fixed positions."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sam_jax.types import AnyArray


def patchify(images: Float[AnyArray, "b h w c"], side: int) -> Float[Array, "b patches pixels"]:
    """Patches from left to right and from top to bottom; pixels within a patch likewise, channels last.

    Args:
        images: Images whose sides are multiples of the patches'.
        side: Side of a patch in pixels.

    >>> patchify(jnp.arange(8.0).reshape(1, 2, 4, 1), 2).tolist()
    [[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]]
    """
    b, h, w, c = images.shape
    grid = jnp.asarray(images).reshape(b, h // side, side, w // side, side, c)
    return grid.swapaxes(2, 3).reshape(b, (h // side) * (w // side), side * side * c)


def unpatchify(
    patches: Float[AnyArray, "b patches pixels"], side: int, grid: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Images from their patches; undoes `patchify`.

    Args:
        patches: Patches of each image.
        side: Side of a patch in pixels.
        grid: Numbers of patches down and across.
    """
    b, rows, columns = patches.shape[0], *grid
    tiles = jnp.asarray(patches).reshape(b, rows, columns, side, side, -1)
    return tiles.swapaxes(2, 3).reshape(b, rows * side, columns * side, -1)


class PatchMask(NamedTuple):
    """Which patches an encoder sees.

    Attributes:
        visible: Indices of the patches that are seen.
        places: For each patch its index among the visible ones followed by the removed ones.
        removed: 1 for each patch that is removed, 0 for each that is seen.
    """

    visible: Int[Array, "b seen"]
    places: Int[Array, "b patches"]
    removed: Float[Array, "b patches"]


def mask_patches(noise: Float[AnyArray, "b patches"], ratio: float) -> PatchMask:
    """Remove the patches with the most noise: with uniform noise, a random share of them.

    Args:
        noise: A number for each patch.
        ratio: Share of the patches to remove, in [0, 1); the number that is seen is rounded down.

    >>> mask_patches(jnp.array([[0.3, 0.1, 0.9, 0.5]]), 0.5).removed.tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    order = jnp.argsort(jnp.asarray(noise), axis=1)
    places = jnp.argsort(order, axis=1)
    seen = count_visible(noise.shape[1], ratio)
    return PatchMask(order[:, :seen], places, (places >= seen).astype(jnp.float32))


def count_visible(patches: int, ratio: float) -> int:
    """Number of patches that are seen where a share of them is removed."""
    return int(patches * (1 - ratio))


def sine_cosine_positions(
    grid: tuple[int, int], width: int
) -> Float[np.ndarray, "positions width"]:
    """Fixed positions: a row of zeros for the class token, then sines and cosines of each patch's column and row.

    The first half of the width is for columns, the second for rows, as the public masked autoencoder has it.

    Source: [Chen et al. 2021](https://arxiv.org/abs/2104.02057), MoCo v3, which fixes positions so.

    Args:
        grid: Numbers of patches down and across.
        width: Number of features, a multiple of 4.
    """
    rates = 10000.0 ** -(np.arange(width // 4) / (width / 4))
    rows, columns = np.indices(grid).reshape(2, -1)
    parts = []
    for places in (columns, rows):
        angles = places[:, None] * rates
        parts += [np.sin(angles), np.cos(angles)]
    table = np.concatenate(parts, axis=1)
    return np.concatenate([np.zeros((1, width)), table]).astype(np.float32)
