"""First weights of a model like SAM that already look at what they should, to shorten the start of training.

Random weights spend their first steps on predicting nothing at all. These differ from random ones in three ways: the
patch embedding whitens the patches of drawn pictures, positions are sines and cosines, and attention compares queries
and keys by the same projection, so that what is alike attends to each other: patches of one texture in the encoder, a
click and its place in the decoder.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.models import SamConfig, init_variables
from sam_jax.types import Variables

PICTURES, PATCHES_OF_A_PICTURE = 60, 100
PICTURE_SIZE = (224, 256)
"""(h, w) in pixels."""
COMPONENTS = 64
"""Principal components of patches that the patch embedding brings to about equal variance; later ones stay weaker."""
POSITION_SCALE = 0.7
"""Largest entry of the positions before they are rotated."""
RESIDUAL = 0.5
"""Size of what attention and MLP add in the encoder, relative to random weights."""
NOISE = 0.02
"""Standard deviation of what is added to the projections."""


def make_first_weights(config: SamConfig, seed: int) -> Variables:
    """Weights to start training from.

    Args:
        config: Sizes of the model; the width of its encoder is a multiple of four.
        seed: Seed of everything that is drawn.
    """
    variables = jax.tree.map(np.array, init_variables(config, seed))
    rng = np.random.default_rng(seed)
    encoder = variables["params"]["image_encoder"]
    _whiten_patches(rng, encoder["patch_embed"])
    _set_positions(rng, encoder["pos_embed"])
    for index in range(config.image_encoder.depth):
        _compare_patches(rng, encoder[f"blocks_{index}"])
    transformer = variables["params"]["mask_decoder"]["transformer"]
    for layer in range(config.mask_decoder.depth):
        for name in ("cross_attn_token_to_image", "cross_attn_image_to_token"):
            _compare_tokens(rng, transformer[f"layers_{layer}"][name], gain=1.5)
    _compare_tokens(rng, transformer["final_attn_token_to_image"], gain=1.5)
    return variables


def _draw_rotation(
    rng: np.random.Generator, rows: int, columns: int
) -> Float[np.ndarray, "rows columns"]:
    """A part of a random orthogonal matrix."""
    side = max(rows, columns)
    return np.linalg.qr(rng.standard_normal((side, side)))[0][:rows, :columns]


def _whiten_patches(rng: np.random.Generator, embedding: dict[str, Any]) -> None:
    """Embed principal components of patches, with about equal variance, in random directions."""
    side, _, _, width = embedding["kernel"].shape
    source = SyntheticSource(seed=3, size=PICTURE_SIZE)
    patches = []
    for index in range(PICTURES):
        image = (source[index].image.astype(np.float32) - PIXEL_MEAN) / PIXEL_STD
        for _ in range(PATCHES_OF_A_PICTURE):
            row, column = (rng.integers(0, length - side) for length in PICTURE_SIZE)
            patches.append(image[row : row + side, column : column + side].ravel())
    patches = np.array(patches)
    mean = patches.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((patches - mean).T))
    floor = variances[::-1][COMPONENTS]
    variances, directions = variances[::-1][:width], directions[:, ::-1][:, :width]
    kernel = directions / np.sqrt(variances + floor) @ _draw_rotation(rng, width, width)
    embedding["kernel"][:] = kernel.reshape(embedding["kernel"].shape)
    embedding["bias"][:] = -mean @ kernel


def _set_positions(rng: np.random.Generator, table: Float[np.ndarray, "gh gw d"]) -> None:
    """Fill a table of positions with sines and cosines of rows and columns."""
    grid_h, grid_w, width = table.shape

    def waves(count: int) -> Float[np.ndarray, "count half"]:
        place = np.arange(count)[:, None] * (32 / grid_h)
        angle = place / 10_000 ** (np.arange(width // 4) / (width / 4))
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    rows, columns = waves(grid_h), waves(grid_w)
    both = np.concatenate(
        [np.repeat(rows[:, None], grid_w, axis=1), np.repeat(columns[None], grid_h, axis=0)],
        axis=-1,
    )
    table[:] = POSITION_SCALE * both @ _draw_rotation(rng, width, width)


def _compare_patches(rng: np.random.Generator, block: dict[str, Any]) -> None:
    """Make queries and keys of an encoder's block the same, and bring values back where they came from."""
    kernel = block["attn"]["qkv"]["kernel"]
    width = kernel.shape[0]
    alike, moved = _draw_rotation(rng, width, width), _draw_rotation(rng, width, width)
    for part, matrix in enumerate((alike, alike, moved)):
        noise = NOISE * rng.standard_normal((width, width))
        kernel[:, part * width : (part + 1) * width] = matrix + noise
    noise = NOISE * rng.standard_normal((width, width))
    block["attn"]["proj"]["kernel"][:] = RESIDUAL * moved.T + noise
    block["mlp"]["lin2"]["kernel"][:] *= RESIDUAL


def _compare_tokens(rng: np.random.Generator, attention: dict[str, Any], gain: float) -> None:
    """Do the same between the decoder's tokens and the image; a higher gain looks at fewer places."""
    shape = attention["q_proj"]["kernel"].shape
    alike, moved = _draw_rotation(rng, *shape), _draw_rotation(rng, *shape)

    def noisy(matrix: np.ndarray) -> np.ndarray:
        return matrix + NOISE * rng.standard_normal(matrix.shape)

    for name in ("q_proj", "k_proj"):
        attention[name]["kernel"][:] = noisy(gain * alike)
    attention["v_proj"]["kernel"][:] = noisy(moved)
    attention["out_proj"]["kernel"][:] = noisy(moved.T)
