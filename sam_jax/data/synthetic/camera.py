"""From the colours of a scene to a photo's bytes: light, lens, sensor, and the compression after it."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sam_jax.data.synthetic.canvas import blur
from sam_jax.data.synthetic.materials import render_tones
from sam_jax.data.synthetic.textures import TILE
from sam_jax.ops.luma import measure_luma


def light_scene(
    rng: np.random.Generator,
    colours: Float[np.ndarray, "h w 3"],
    clouds: list[UInt8[np.ndarray, "side side"]],
) -> Float[np.ndarray, "h w 3"]:
    """Light the whole scene unevenly: a gradient, and shadows of what stands outside of the frame."""
    height, width = colours.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope = rng.normal(0, 0.09, 2).astype(np.float32)
    light = 1 + slope[0] * across + slope[1] * down
    if rng.random() < 0.4:
        fall = np.float32(rng.uniform(0.05, 0.35))
        light -= fall * 0.5 * (across**2 + down**2)
    if rng.random() < 0.18:
        tile = clouds[int(rng.integers(len(clouds)))]
        scale = rng.uniform(0.3, 1.5)
        pattern = np.array([[scale, 0, rng.uniform(0, TILE)], [0, scale, rng.uniform(0, TILE)]])
        tones = blur(render_tones(tile, pattern, (0, 0, height, width)), rng.uniform(1, 6))
        level = np.float32(np.quantile(tones[::4, ::4], rng.uniform(0.15, 0.85)))
        depth = np.float32(rng.uniform(0.25, 0.6))
        light *= 1 - depth / (1 + np.exp(4 * (tones - level)))
    return colours * light[..., None]


def take_photo(
    rng: np.random.Generator, colours: Float[np.ndarray, "h w 3"], *, is_metered: bool
) -> UInt8[np.ndarray, "h w 3"]:
    """Make a photo of colours: exposure (by the mean brightness if metered), blur, noise, compression."""
    colours = _expose(rng, colours, is_metered)
    sharpness = (
        float(rng.uniform(0.3, 0.6)) if rng.random() < 0.85 else float(rng.uniform(0.6, 1.6))
    )
    colours = cv2.GaussianBlur(colours, (0, 0), sharpness)
    if rng.random() < 0.06:
        colours = _move(colours, length=int(rng.integers(3, 10)), angle=rng.uniform(0, np.pi))
    if rng.random() < 0.6:
        halo = np.float32(rng.uniform(0.2, 1.4))
        colours = colours + halo * (colours - cv2.GaussianBlur(colours, (0, 0), 1.0))
    colours = _add_noise(rng, colours)
    photo = np.clip(colours * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))]
        stored = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), quality)[1]
        photo = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB), np.uint8)
    return photo


def _expose(
    rng: np.random.Generator, colours: Float[np.ndarray, "h w 3"], is_metered: bool
) -> Float[np.ndarray, "h w 3"]:
    """Apply colour of the light, exposure, haze and contrast curve; sometimes the result is grey."""
    tint = np.exp(rng.normal(0, 0.06) * np.array([1, 0.1, -1.1]))
    gain = float(np.exp(rng.normal(0, 0.22)))
    if is_metered:
        gain *= (0.45 / max(float(colours[::8, ::8].mean()), 0.02)) ** 0.6
    colours = np.clip(colours * (tint * gain).astype(np.float32), 0, 1.3)
    # A film's shoulder keeps highlights from clipping flat.
    bright = colours > 0.8
    colours[bright] = 0.8 + 0.2 * np.tanh((colours[bright] - 0.8) * 4)
    if rng.random() < 0.5:
        gamma = float(np.exp(rng.normal(0, 0.2)))
        colours = cv2.pow(colours, gamma)
    if rng.random() < 0.2:
        haze = np.float32(rng.uniform(0.03, 0.25))
        colours = colours * (1 - haze) + haze * rng.uniform(0.4, 0.9, 3).astype(np.float32)
    if rng.random() < 0.07:
        colours = np.repeat(measure_luma(colours)[..., None], 3, axis=2)
    return colours.astype(np.float32)


def _move(colours: np.ndarray, length: int, angle: float) -> np.ndarray:
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    for step in np.linspace(-middle, middle, 2 * length):
        row, column = middle + step * np.sin(angle), middle + step * np.cos(angle)
        kernel[round(row), round(column)] += 1
    return cv2.filter2D(colours, -1, kernel / kernel.sum())


def _add_noise(
    rng: np.random.Generator, colours: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Add the noise of a sensor, which is correlated between channels and, a little, between neighbouring pixels."""
    height, width = colours.shape[:2]
    strength = min(0.08, float(rng.lognormal(-5.1, 0.9)))
    # One field laid twice, mirrored, saves half of the drawing and is not seen.
    grey = rng.standard_normal((height, width), np.float32)
    if rng.random() < 0.8:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.6) * np.float32(1.9)
    tinted = np.stack(
        [grey, 0.6 * grey + 0.5 * grey[::-1], 0.6 * grey + 0.5 * grey[:, ::-1]], axis=2
    )
    return colours + np.float32(strength) * tinted
