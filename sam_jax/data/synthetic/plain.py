"""Flat shapes in plain colours or with one texture each: simple pictures for the start of training."""

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8

from sam_jax.data.synthetic.outlines import Outline, blob, ellipse, polygon, rotate, superellipse
from sam_jax.data.synthetic.textures import TILE

FEWEST, MOST = 3, 16
"""Smallest and largest number of shapes in a picture."""


def draw_plain(
    rng: np.random.Generator,
    size: tuple[int, int],
    bank: list[UInt8[np.ndarray, "side side"]],
    contrast: float,
) -> tuple[UInt8[np.ndarray, "h w 3"], Integer[np.ndarray, "h w"]]:
    """Draw a picture, and the region that each pixel belongs to; a shape that others cut in two is two regions.

    Args:
        rng: Source of all draws.
        size: Height and width of the picture in pixels.
        bank: Tiles of texture.
        contrast: Contrast of the strongest texture, as a share of the brightness of its shape; each picture draws its
            own between 0 and this.
    """
    height, width = size
    regions = np.zeros(size, np.int32)
    for shape in range(1, 1 + int(rng.integers(FEWEST, MOST + 1))):
        radius = min(size) * np.exp(rng.uniform(np.log(0.05), np.log(0.5)))
        outline = rotate(_outline(rng) * radius, rng.uniform(0, 2 * np.pi))
        outline += rng.uniform(0, 1, 2) * (width, height)
        cv2.fillPoly(regions, [np.round(outline).astype(np.int32)], shape)
    colours = rng.uniform(0, 255, (regions.max() + 1, 3)).astype(np.float32)
    picture = colours[regions]
    contrast *= rng.random() ** 1.5
    for shape in range(len(colours) if contrast > 0 else 0):
        _add_texture(rng, picture, regions == shape, bank, contrast * rng.random())
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    slope = rng.normal(0, 0.1, 2)
    picture *= (1 + slope[0] * across + slope[1] * down).astype(np.float32)[:, :, None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2))
    noise = np.float32(rng.uniform(0, 12))
    picture += noise * rng.standard_normal(picture.shape, np.float32)
    photo = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return photo, _split(regions)


def _add_texture(
    rng: np.random.Generator,
    picture: Float[np.ndarray, "h w 3"],
    shape: np.ndarray,
    bank: list[UInt8[np.ndarray, "side side"]],
    contrast: float,
) -> None:
    columns, rows = np.flatnonzero(shape.any(axis=0)), np.flatnonzero(shape.any(axis=1))
    if not columns.size:
        return
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = shape[window]
    scale, angle = np.exp(rng.uniform(np.log(0.5), np.log(3))), rng.uniform(0, 2 * np.pi)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    pattern = np.array(
        [[cosine, -sine, rng.uniform(0, TILE)], [sine, cosine, rng.uniform(0, TILE)]]
    )
    tones = cv2.warpAffine(
        bank[int(rng.integers(len(bank)))],
        pattern,
        inside.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )[inside].astype(np.float32)
    tones = (tones - 128) / 64 * np.float32(contrast)
    tint = (1 + rng.normal(0, 0.25, 3)).astype(np.float32)
    picture[window][inside] *= 1 + tones[:, None] * tint


def _outline(rng: np.random.Generator) -> Outline:
    kind = int(rng.integers(4))
    squash = (1, rng.uniform(0.2, 1))
    if kind == 0:
        return blob(rng, rng.uniform(0.1, 0.5))
    if kind == 1:
        return polygon(rng, int(rng.integers(3, 9)), 0.5) * squash
    if kind == 2:
        return ellipse(0, 0, 1) * squash
    return superellipse(0, 0, 1, 1, rng.uniform(3, 12)) * squash


def _split(regions: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, "h w"]:
    """Number connected components."""
    pieces = np.zeros(regions.shape, np.int32)
    count = 0
    for region in range(regions.max() + 1):
        of_region = cv2.connectedComponents((regions == region).view(np.uint8), connectivity=8)[1]
        pieces = np.where(of_region > 0, of_region + count, pieces)
        count = int(pieces.max())
    return pieces - 1
