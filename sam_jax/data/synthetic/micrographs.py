"""Micrographs: bright or dark cells on a flat noisy background, many of them touching."""

import numpy as np

from sam_jax.data.synthetic.canvas import Canvas, Look
from sam_jax.data.synthetic.materials import Material, Surfaces, sample_material
from sam_jax.data.synthetic.outlines import blob, rotate
from sam_jax.data.synthetic.textures import COPIES_OF_A_KIND
from sam_jax.data.synthetic.things import Piece


def paint_micrograph(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> None:
    """Paint a micrograph: fluorescence (bright on black), bright field (dark on bright), or stained tissue."""
    kind = int(rng.integers(3))
    ground, cell = _choose_colours(rng, kind)
    texture = rng.uniform(0.1, 0.6) if kind else rng.uniform(0, 0.15)
    canvas.paint_regions(np.ones(canvas.size, np.uint8), [_colour(rng, surfaces, ground, texture)])
    height, width = canvas.size
    size = rng.uniform(0.02, 0.09) * max(canvas.size)
    crowd = rng.uniform(0.03, 0.55)
    count = int(np.clip(crowd * height * width / (np.pi * size**2), 8, 90))
    clusters = rng.uniform(0, 1, (int(rng.integers(2, 8)), 2)) * (width, height)
    is_clustered = rng.random() < 0.5
    tidy = rng.uniform(0.02, 0.25)
    shape = [_colour(rng, surfaces, cell * np.exp(rng.normal(0, 0.25)), texture) for _ in range(6)]
    look = Look(
        relief=rng.uniform(0, 0.5) if kind == 0 else 0.0,
        softness=rng.uniform(0.6, 2.0),
        raggedness=rng.choice([0.0, 1.0]),
    )
    placed: list[tuple[float, float, float]] = []
    for _ in range(count):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if is_clustered:
            x, y = clusters[rng.integers(len(clusters))] + rng.normal(0, 3 * size, 2)
        radius = size * np.exp(rng.normal(0, 0.25))
        # Neighbours touch and press on each other, but one rarely lies on another.
        if any((x - a) ** 2 + (y - b) ** 2 < (0.75 * (radius + r)) ** 2 for a, b, r in placed):
            continue
        placed.append((float(x), float(y), float(radius)))
        outline = rotate(blob(rng, tidy, lobes=5), rng.uniform(0, np.pi)) * radius + (x, y)
        pieces = [Piece((outline,), (), 0)]
        if kind == 2 and rng.random() < 0.5:
            spot = blob(rng, 0.2) * radius * 0.3 + (x, y)
            pieces.append(Piece((spot,), (), 1, inside=True))
        paints = {k: shape[int(rng.integers(len(shape)))] for k in range(2)}
        canvas.paint(pieces, paints, np.eye(2, 3), look, surfaces.bank[0])


def _choose_colours(rng: np.random.Generator, kind: int) -> tuple[np.ndarray, np.ndarray]:
    if kind == 0:
        level = np.ones(3) if rng.random() < 0.7 else rng.uniform(0, 1, 3)
        return rng.uniform(0.02, 0.15) * level, rng.uniform(0.2, 0.9) * level
    if kind == 1:
        bright = rng.uniform(0.6, 0.9) * np.ones(3)
        return bright, bright * rng.uniform(0.3, 0.8)
    tissue = np.array([0.85, 0.62, 0.8]) + rng.normal(0, 0.08, 3)
    return tissue, np.array([0.42, 0.25, 0.55]) + rng.normal(0, 0.08, 3)


def _colour(
    rng: np.random.Generator, surfaces: Surfaces, colour: np.ndarray, contrast: float
) -> Material:
    """Draw a natural texture in one colour."""
    material = sample_material(rng, surfaces._replace(photos=[]), contrast=0.0)
    tones = np.linspace(-1, 1, 256)[:, None] * contrast * 0.6
    ramp = (colour * (1 + tones)).astype(np.float32)
    return material._replace(tile=surfaces.bank[int(rng.integers(3 * COPIES_OF_A_KIND))], ramp=ramp)
