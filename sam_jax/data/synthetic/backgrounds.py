"""Backgrounds: skies, grounds, walls and floors that divide the whole frame."""

import cv2
import numpy as np
from jaxtyping import Float

from sam_jax.data.synthetic.canvas import Canvas, Look, blur
from sam_jax.data.synthetic.materials import Material, Surfaces, render_tones, sample_material
from sam_jax.data.synthetic.outlines import blob, ellipse
from sam_jax.data.synthetic.textures import CLOUDS, COPIES_OF_A_KIND, TILE, fractal
from sam_jax.data.synthetic.things import Piece


def paint_landscape(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> float:
    """Paint sky, ridges behind each other, ground, perhaps water and paths. Returns the row of the horizon."""
    height, width = canvas.size
    horizon = rng.uniform(0.15, 0.7) * height
    regions = np.ones(canvas.size, np.uint8)
    rows = np.arange(height)[:, None]
    materials = [_sky(rng, surfaces)]
    ridges = int(rng.integers(0, 4))
    level = horizon - rng.uniform(0.02, 0.3) * height * (ridges > 0)
    for layer in range(ridges + int(rng.integers(1, 3))):
        is_ground = layer >= ridges
        rough = rng.uniform(0, 0.02) if is_ground else rng.uniform(0.01, 0.1)
        skyline = _skyline(rng, width, slope=rng.uniform(0.9, 1.8)) * rough * height
        edge = level + skyline + rng.normal(0, 0.04) * np.linspace(-1, 1, width) * height
        regions[rows >= edge[None, :]] = len(materials) + 1
        flatten = rng.uniform(1.5, 5) if is_ground else 1.0
        materials.append(sample_material(rng, surfaces, contrast=1.3, flatten=flatten))
        level += rng.uniform(0.05, 0.35) * height if is_ground else (horizon - level) * 0.7
    nodes = canvas.paint_regions(regions, materials)
    _shade_downwards(rng, canvas, regions == 1, strength=0.35)
    if rng.random() < 0.3 and horizon > 0.2 * height:
        _paint_clouds(rng, canvas, surfaces, horizon, nodes[0])
    for _ in range(int(rng.integers(0, 3))):
        place = (rng.uniform(0, width), rng.uniform(horizon, height))
        _paint_patch(rng, canvas, surfaces, place, 0.25)
    return float(horizon)


def paint_room(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> float:
    """Paint walls, a floor and sometimes a ceiling. Returns the row of the floor's edge."""
    height, width = canvas.size
    floor = rng.uniform(0.45, 0.9) * height
    regions = np.ones(canvas.size, np.uint8)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    corner, slant = rng.uniform(0.1, 0.9) * width, rng.uniform(0, 0.5)
    materials = [sample_material(rng, surfaces, contrast=0.6)]
    away = columns - corner
    if rng.random() < 0.5:
        regions[away > 0] = 2
        materials.append(sample_material(rng, surfaces, near=materials[0].ramp[128], contrast=0.6))
    edge = floor + slant * np.abs(away) * 0.5
    materials.append(sample_material(rng, surfaces, flatten=rng.uniform(1.5, 4)))
    regions[rows > edge] = len(materials)
    if rng.random() < 0.4:
        skirting = rng.uniform(0.01, 0.05) * height
        materials.append(sample_material(rng, surfaces, contrast=0.3))
        regions[(rows > edge - skirting) & (rows <= edge)] = len(materials)
    if rng.random() < 0.2:
        materials.append(sample_material(rng, surfaces, contrast=0.5))
        top = floor - rng.uniform(0.5, 0.8) * height - slant * np.abs(away) * 0.4
        regions[rows < top] = len(materials)
    canvas.paint_regions(regions, materials)
    _shade_downwards(rng, canvas, None, strength=0.2)
    return float(floor)


def paint_patchwork(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> float:
    """Paint regions that divide the frame by curved or straight edges, where the lowest of several fields changes."""
    height, width = canvas.size
    count = int(rng.integers(2, 9))
    coarse = (max(2, height // 4), max(2, width // 4))
    rows, columns = np.mgrid[: coarse[0], : coarse[1]].astype(np.float32) / max(coarse)
    wobble = rng.choice([0.0, 0.05, 0.15])
    shift = [
        cv2.resize(fractal(rng, 1.6, size=128), coarse[::-1], interpolation=cv2.INTER_CUBIC)
        * wobble
        for _ in range(2)
    ]
    fields = np.stack(
        [
            (rows + shift[0] - rng.uniform(0, 1)) ** 2
            + (columns + shift[1] - rng.uniform(0, 1)) ** 2
            + rng.normal(0, 0.05)
            for _ in range(count)
        ],
        axis=2,
    )
    full = [cv2.resize(fields[..., k], (width, height)) for k in range(count)]
    regions = (np.argmin(np.stack(full), axis=0) + 1).astype(np.uint8)
    materials = [sample_material(rng, surfaces) for _ in range(count)]
    canvas.paint_regions(regions, materials)
    return height * rng.uniform(0.2, 0.6)


def paint_backdrop(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> float:
    """Paint one surface, from studio paper to undergrowth, and sometimes discs of light that are out of focus."""
    height, width = canvas.size
    contrast = rng.choice([0.2, 1.0, 1.6])
    materials = [sample_material(rng, surfaces, contrast=contrast)]
    canvas.paint_regions(np.ones(canvas.size, np.uint8), materials)
    if rng.random() < 0.25:
        # Unsharp shapes that nobody would call things: colour that varies without an edge.
        veil = canvas.colours.copy()
        for _ in range(int(rng.integers(3, 16))):
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            radius = int(rng.uniform(0.03, 0.2) * max(height, width))
            colour = sample_material(rng, surfaces).ramp[128]
            cv2.circle(veil, centre, radius, [float(c) for c in colour], -1)
        canvas.colours = blur(veil, rng.uniform(6, 25))
    else:
        _shade_downwards(rng, canvas, None, strength=0.3)
    return height * rng.uniform(0.2, 0.8)


def _sky(rng: np.random.Generator, surfaces: Surfaces) -> Material:
    sky = sample_material(rng, surfaces, contrast=rng.choice([0.05, 0.25, 0.8]))
    kind = rng.random()
    if kind < 0.75:
        # Blue, white, or the colours of evening: bright, above all.
        hue = np.array([0.45, 0.66, 0.95]) if kind < 0.45 else rng.uniform(0.65, 0.95, 3)
        sky = sky._replace(
            ramp=(sky.ramp - sky.ramp[128] + hue * rng.uniform(0.6, 1.0)).astype(np.float32)
        )
    return sky


def _skyline(rng: np.random.Generator, width: int, slope: float) -> Float[np.ndarray, "w"]:
    white = np.fft.rfft(rng.standard_normal(2 * width))
    frequency = np.arange(len(white), dtype=float)
    frequency[0] = np.inf
    line = np.fft.irfft(white / frequency**slope)[:width]
    return (line - line.mean()) / max(line.std(), 1e-9)


def _shade_downwards(
    rng: np.random.Generator, canvas: Canvas, where: np.ndarray | None, strength: float
) -> None:
    fall = np.linspace(-1, 1, canvas.size[0], dtype=np.float32)[:, None, None]
    light = 1 + np.float32(rng.normal(0, strength)) * fall
    tint = 1 + rng.normal(0, 0.08, 3).astype(np.float32) * fall
    factor = np.clip(light * tint, 0.3, 1.7)
    if where is None:
        canvas.colours *= factor
    else:
        np.multiply(canvas.colours, factor, out=canvas.colours, where=where[..., None])


def _paint_clouds(
    rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces, horizon: float, sky: int
) -> None:
    """Paint clouds, which belong to the sky and have no masks."""
    height, width = canvas.size
    tile = surfaces.bank[CLOUDS][int(rng.integers(COPIES_OF_A_KIND))]
    pattern = np.array([[1.0, 0, rng.uniform(0, TILE)], [0, 2.5, rng.uniform(0, TILE)]])
    view = slice(0, min(height, int(1.3 * horizon)))
    tones = render_tones(tile, pattern, (0, 0, view.stop, width))
    density = np.clip(tones * rng.uniform(0.4, 1.5) + rng.uniform(-1, 0.5), 0, 0.9)
    density *= canvas.labels[view] == sky
    white = np.float32(rng.uniform(0.75, 1.0))
    canvas.colours[view] += density[..., None] * (white - canvas.colours[view])


def _paint_patch(
    rng: np.random.Generator,
    canvas: Canvas,
    surfaces: Surfaces,
    place: tuple[float, float],
    reach: float,
) -> None:
    """Paint a flat patch on the ground: a pond, rug, path or bed of flowers."""
    size = rng.uniform(0.4, 1.6) * reach * max(canvas.size)
    outline = blob(rng, 0.4) if rng.random() < 0.7 else ellipse(0, 0, 1)
    placement = np.array(
        [[size, 0, place[0]], [rng.normal(0, 0.2) * size, size * rng.uniform(0.15, 0.5), place[1]]]
    )
    material = sample_material(rng, surfaces, flatten=rng.uniform(1.5, 4))
    look = Look(softness=rng.uniform(0.5, 2), raggedness=rng.choice([0.0, 3.0, 6.0]))
    wobble = surfaces.bank[CLOUDS][int(rng.integers(COPIES_OF_A_KIND))]
    canvas.paint([Piece((outline,), (), 0)], {0: material}, placement, look, wobble)
