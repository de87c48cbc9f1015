"""First weights for the tiny model that already look at what they should, to shorten the start of training.

    python -m experiments.first_weights runs/first_weights.safetensors --side 128

Random weights spend their first steps on predicting nothing at all. These differ from random ones in three ways: the
patch embedding whitens the patches of drawn pictures, positions are sines and cosines, and attention compares queries
and keys by the same projection, so that what is alike attends to each other: patches of one texture in the encoder, a
click and its place in the decoder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from jaxtyping import Float
from tyro.conf import Positional

from sam_jax.checkpoints import save_checkpoint
from sam_jax.checkpoints.recognition import with_image_size, without_details
from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.models import TINY, init_variables

PICTURES, PATCHES_OF_A_PICTURE = 60, 100
PICTURE_SIZE = (224, 256)
POSITION_SCALE = 0.7
RESIDUAL = 0.5
"""Of what attention and MLP add in the encoder, relative to random weights."""
NOISE = 0.02


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write first weights of the tiny model."""

    path: Annotated[Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The .safetensors file."""
    side: int = 128
    """Of the model's input, in pixels."""
    seed: int = 0
    """Of everything that is drawn."""


def draw_rotation(
    rng: np.random.Generator, rows: int, columns: int
) -> Float[np.ndarray, "rows columns"]:
    """A part of a random orthogonal matrix."""
    side = max(rows, columns)
    return np.linalg.qr(rng.standard_normal((side, side)))[0][:rows, :columns]


def whiten_patches(rng: np.random.Generator, embedding: dict[str, Any]) -> None:
    """Principal components of patches, with about equal variance, in random directions."""
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
    variances, directions = variances[::-1][:width], directions[:, ::-1][:, :width]
    floor = variances[64]  # detail finer than that stays weaker
    kernel = directions / np.sqrt(variances + floor) @ draw_rotation(rng, width, width)
    embedding["kernel"][:] = kernel.reshape(embedding["kernel"].shape)
    embedding["bias"][:] = -mean @ kernel


def set_positions(rng: np.random.Generator, table: Float[np.ndarray, "gh gw d"]) -> None:
    """Sines and cosines of rows and columns."""
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
    table[:] = POSITION_SCALE * both @ draw_rotation(rng, width, width)


def compare_patches(rng: np.random.Generator, block: dict[str, Any]) -> None:
    """Queries and keys of an encoder's block are the same; values come back where they came from."""
    kernel = block["attn"]["qkv"]["kernel"]
    width = kernel.shape[0]
    alike, moved = draw_rotation(rng, width, width), draw_rotation(rng, width, width)
    for part, matrix in enumerate((alike, alike, moved)):
        noise = NOISE * rng.standard_normal((width, width))
        kernel[:, part * width : (part + 1) * width] = matrix + noise
    noise = NOISE * rng.standard_normal((width, width))
    block["attn"]["proj"]["kernel"][:] = RESIDUAL * moved.T + noise
    block["mlp"]["lin2"]["kernel"][:] *= RESIDUAL


def compare_tokens(rng: np.random.Generator, attention: dict[str, Any], gain: float) -> None:
    """Likewise between the decoder's tokens and the image; a higher gain looks at fewer places."""
    shape = attention["q_proj"]["kernel"].shape
    alike, moved = draw_rotation(rng, *shape), draw_rotation(rng, *shape)

    def noisy(matrix: np.ndarray) -> np.ndarray:
        return matrix + NOISE * rng.standard_normal(matrix.shape)

    for name in ("q_proj", "k_proj"):
        attention[name]["kernel"][:] = noisy(gain * alike)
    attention["v_proj"]["kernel"][:] = noisy(moved)
    attention["out_proj"]["kernel"][:] = noisy(moved.T)


def main() -> None:
    """Draw and write."""
    options = tyro.cli(Options)
    side = (options.side, options.side)
    config = without_details(with_image_size(TINY, side))
    variables = jax.tree.map(np.array, init_variables(config, options.seed))
    rng = np.random.default_rng(options.seed)
    encoder = variables["params"]["image_encoder"]
    whiten_patches(rng, encoder["patch_embed"])
    set_positions(rng, encoder["pos_embed"])
    for index in range(config.image_encoder.depth):
        compare_patches(rng, encoder[f"blocks_{index}"])
    transformer = variables["params"]["mask_decoder"]["transformer"]
    for layer in ("layers_0", "layers_1"):
        for name in ("cross_attn_token_to_image", "cross_attn_image_to_token"):
            compare_tokens(rng, transformer[layer][name], gain=1.5)
    compare_tokens(rng, transformer["final_attn_token_to_image"], gain=1.5)
    options.path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(options.path, config, variables)
    print(f"wrote {options.path}")


if __name__ == "__main__":
    main()
