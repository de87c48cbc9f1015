"""Grey tiles of texture with the statistics of natural surfaces."""

import functools
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

TILE = 512
"""Side of a tile in pixels. Every tile is periodic, so that it can be laid without seams."""

COPIES_OF_A_KIND = 4

CLOUDS = slice(0, COPIES_OF_A_KIND)
"""Tiles of the bank with smooth noise, which bends outlines and dapples light."""

Tile = Float[np.ndarray, "side side"]


@functools.lru_cache(maxsize=2)
def texture_bank(seed: int) -> list[UInt8[np.ndarray, "side side"]]:
    """Tiles of every kind of surface, with mean 128 and a standard deviation of about 45.

    The bank is made once for each process, in a second or two, and shared by all examples. Materials lay pieces of its
    tiles in any size, direction and colour.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    return [_as_bytes(kind(rng)) for kind in _KINDS for _ in range(COPIES_OF_A_KIND)]


def fractal(rng: np.random.Generator, slope: float, stretch: float = 1.0, size: int = TILE) -> Tile:
    """Periodic noise whose amplitude falls as 1/f^slope; photographs have a slope near 1.

    Args:
        rng: Source of all draws.
        slope: Exponent of the amplitude spectrum.
        stretch: Ratio of length to width of the features, for grain of wood, fur and ripples.
        size: Side in pixels.

    Returns:
        Noise of mean 0 and standard deviation 1.
    """
    white = np.fft.rfft2(rng.standard_normal((size, size), np.float32))
    rows = np.fft.fftfreq(size)[:, None]
    columns = np.fft.rfftfreq(size)[None, :] * stretch
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    return _standardise(np.fft.irfft2(white / frequency**slope, (size, size)))


def _standardise(tile: np.ndarray) -> Tile:
    tile = tile.astype(np.float32)
    return (tile - tile.mean()) / max(float(tile.std()), 1e-6)


def _as_bytes(tile: Tile) -> UInt8[np.ndarray, "side side"]:
    # tanh folds in the rare extremes, which would otherwise be cut off flat.
    return np.clip(128 + 110 * np.tanh(_standardise(tile) * 0.45), 0, 255).astype(np.uint8)


def _warp(tile: Tile, rng: np.random.Generator, pixels: float, slope: float = 1.8) -> Tile:
    """Displace a tile by smooth noise of a strength in pixels (domain warping), which makes it look natural."""
    rows, columns = np.mgrid[:TILE, :TILE].astype(np.float32)
    rows += pixels * fractal(rng, slope)
    columns += pixels * fractal(rng, slope)
    return cv2.remap(tile, columns % TILE, rows % TILE, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)


def _clouds(rng: np.random.Generator) -> Tile:
    return fractal(rng, rng.uniform(0.9, 1.6))


def _speckle(rng: np.random.Generator) -> Tile:
    return fractal(rng, rng.uniform(0.1, 0.7))


def _grain(rng: np.random.Generator) -> Tile:
    noise = fractal(rng, rng.uniform(0.5, 1.1), stretch=rng.uniform(4, 14))
    return _warp(noise, rng, rng.uniform(0, 12))


def _fur(rng: np.random.Generator) -> Tile:
    return _warp(
        fractal(rng, rng.uniform(0.4, 0.8), stretch=rng.uniform(3, 6)), rng, 30.0, slope=1.6
    )


def _marble(rng: np.random.Generator) -> Tile:
    veins = -(np.abs(fractal(rng, rng.uniform(1.2, 1.8))) ** rng.uniform(0.4, 1.0))
    return _warp(_standardise(veins), rng, rng.uniform(0, 40))


def _patches(rng: np.random.Generator) -> Tile:
    """Soft-edged patches of a few tones, like camouflage, lichen or cowhide."""
    steps = sum(
        np.tanh(rng.uniform(3, 15) * (fractal(rng, rng.uniform(1.2, 2.0)) - rng.normal(0, 0.6)))
        for _ in range(rng.integers(1, 4))
    )
    return np.asarray(steps, np.float32) + 0.2 * fractal(rng, 0.8)


def _stripes(rng: np.random.Generator) -> Tile:
    rows, columns = np.mgrid[:TILE, :TILE].astype(np.float32) / TILE
    phase = 2 * np.pi * (rng.integers(6, 40) * columns + rng.integers(-3, 4) * rows)
    wave = np.tanh(rng.uniform(0.5, 6) * (np.sin(phase) + rng.uniform(-0.6, 0.6)))
    return _warp(wave, rng, rng.choice([0.0, 3.0, 15.0])) + 0.15 * fractal(rng, 0.9)


def _weave(rng: np.random.Generator) -> Tile:
    """Checks, plaids and cloth."""
    rows, columns = np.mgrid[:TILE, :TILE].astype(np.float32) / TILE * 2 * np.pi
    threads = int(rng.integers(4, 32))
    sharpness = rng.uniform(1, 8)
    across, down = (
        np.tanh(sharpness * np.sin(threads * columns)),
        np.tanh(sharpness * np.sin(threads * rows)),
    )
    crossing = across * down if rng.random() < 0.5 else across + down
    if rng.random() < 0.5:
        crossing = crossing + rng.uniform(0.3, 1) * np.sin(2 * threads * columns + threads * rows)
    return _warp(crossing, rng, rng.uniform(0, 6)) + 0.2 * fractal(rng, 0.7)


def _cells(rng: np.random.Generator) -> Tile:
    """Pebbles, scales, cracked mud, mosaics: the cells around scattered points."""
    count = int(rng.integers(30, 500))
    seeds = np.full((2 * TILE, 2 * TILE), 255, np.uint8)
    points = rng.integers(0, TILE, (count, 2))
    copies = ((0, 0), (0, TILE), (TILE, 0), (TILE, TILE))
    for shift in copies:
        seeds[tuple((points + shift).T)] = 0
    distance, nearest = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.asarray(nearest, np.int32)
    tones, tone = np.zeros(4 * count + 1, np.float32), rng.standard_normal(count)
    for shift in copies:
        tones[nearest[tuple((points + shift).T)]] = tone
    # The middle of the four copies is periodic.
    half = TILE // 2
    distance, nearest = (x[half : half + TILE, half : half + TILE] for x in (distance, nearest))
    tile = rng.uniform(0, 1) * tones[nearest] - rng.uniform(0, 1.5) * _standardise(distance)
    return _warp(_standardise(tile), rng, rng.uniform(0, 5)) + 0.25 * fractal(rng, 0.9)


def _spots(rng: np.random.Generator) -> Tile:
    tile = np.zeros((TILE, TILE), np.float32)
    radius = rng.uniform(3, 20)
    for row, column in rng.integers(0, TILE, (int(0.25 * (TILE / radius) ** 2), 2)).tolist():
        size = radius * rng.uniform(0.4, 1.2)
        _stamp(tile, row, column, (size, size * rng.uniform(0.6, 1)), rng.uniform(0, 180), 1.0)
    soft = cv2.GaussianBlur(tile, (0, 0), rng.uniform(0.5, 3), borderType=cv2.BORDER_REFLECT)
    return _standardise(soft) * rng.choice([-1, 1]) + 0.2 * fractal(rng, 0.9)


def _dead_leaves(rng: np.random.Generator) -> Tile:
    """Leaves over leaves, sized by a power law: occlusion gives photos their spectrum (dead leaves model)."""
    tile = np.zeros((TILE, TILE), np.float32)
    thinness = rng.uniform(0.15, 1)
    smallest, largest = rng.uniform(2, 6), rng.uniform(20, 60)
    inverse_square = rng.uniform(largest**-2, smallest**-2, 4000)
    direction, spread = rng.uniform(0, 180), rng.choice([25.0, 180.0])
    for radius in inverse_square**-0.5:
        row, column = rng.integers(0, TILE, 2).tolist()
        angle = direction + rng.uniform(-spread, spread)
        _stamp(tile, row, column, (radius, radius * thinness), angle, float(rng.standard_normal()))
    return _standardise(tile) + 0.2 * fractal(rng, 0.8)


def _bricks(rng: np.random.Generator) -> Tile:
    """Bricks, planks and paving: rows of blocks, each of its own tone, with joints."""
    tile = np.zeros((TILE, TILE), np.float32)
    rows, columns = int(2 ** rng.integers(2, 6)), int(2 ** rng.integers(1, 5))
    height, width = TILE // rows, TILE // columns
    shift = rng.choice([0.0, 0.5])
    joint = int(rng.integers(1, 1 + max(2, height // 6)))
    for row in range(rows):
        for column in range(-1, columns):
            left = int((column + shift * (row % 2)) * width)
            tone = rng.normal(0, 0.5)
            top = row * height
            tile[top : top + height - joint, max(left, 0) : max(left + width - joint, 0)] = tone + 1
    tile *= rng.choice([-1, 1])
    return _warp(_standardise(tile), rng, rng.uniform(0, 3)) + 0.35 * fractal(rng, 0.9)


def _print(rng: np.random.Generator) -> Tile:
    """Letters and signs, as on labels, books and shop fronts."""
    tile = np.zeros((TILE, TILE), np.uint8)
    line = int(rng.integers(18, 90))
    for bottom in range(line, TILE + 1, line):
        text = "".join(rng.choice(list("ABCDEFGHKLMNORSTUVXYZ0123456789 aenorstui"), 40))
        font = int(rng.integers(0, 8))
        place = (int(rng.integers(-30, 0)), bottom - line // 4)
        cv2.putText(tile, text, place, font, line / 40, 255, max(1, line // 18), cv2.LINE_AA)
    return _standardise(tile) * rng.choice([-1, 1]) + 0.1 * fractal(rng, 1.0)


def _stamp(
    tile: Tile,
    row: int,
    column: int,
    radii: tuple[float, float],
    angle: float,
    tone: float,
) -> None:
    """Draw an ellipse, and again beyond each edge that it crosses, so that the tile stays periodic."""
    reach = max(radii)
    axes = (max(1, round(radii[0])), max(1, round(radii[1])))
    for down in (0, TILE) if row < reach else (0, -TILE) if row > TILE - reach else (0,):
        for right in (0, TILE) if column < reach else (0, -TILE) if column > TILE - reach else (0,):
            centre = (int(column + right), int(row + down))
            cv2.ellipse(tile, centre, axes, angle, 0, 360, float(tone), -1, cv2.LINE_8)


_KINDS: tuple[Callable[[np.random.Generator], Tile], ...] = (
    _clouds,
    _clouds,
    _speckle,
    _grain,
    _grain,
    _fur,
    _fur,
    _marble,
    _patches,
    _stripes,
    _weave,
    _cells,
    _spots,
    _dead_leaves,
    _dead_leaves,
    _bricks,
    _print,
)
