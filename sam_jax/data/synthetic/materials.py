"""What surfaces look like: natural colours, texture laid in any size and direction, photo patches."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Box = tuple[int, int, int, int]
"""Top, left, height, width of a piece of the image."""

_FAMILIES = (
    # weight, hue in degrees, its spread, saturation, its spread
    (0.28, 32, 11, 0.42, 0.15),  # earth, wood, fur, sand, brick
    (0.20, 82, 20, 0.42, 0.15),  # leaves and grass
    (0.13, 212, 14, 0.35, 0.18),  # sky, water, denim
    (0.27, 40, 60, 0.07, 0.05),  # stone, metal, snow, paper, asphalt
    (0.06, 20, 6, 0.42, 0.08),  # skin
    (0.06, 0, 180, 0.65, 0.15),  # paint, cloth, flowers
)
_WEIGHTS = np.cumsum([family[0] for family in _FAMILIES])

SCENE_COLOURS = 5
"""A scene has a palette: most of its surfaces are near one of so many colours."""


class Lighting(NamedTuple):
    """What all surfaces of a scene share.

    Attributes:
        direction: unit vector (x, y) in the image that light comes from.
        palette: colours that come back all over the scene.
        saturation: how colourful the scene is as a whole.
        contrast: how strong textures are as a whole.
        scale: size of texture relative to its tile: pixels of the image to a pixel of the tile.
    """

    direction: tuple[float, float]
    palette: Float[np.ndarray, "k 3"]
    saturation: float
    contrast: float
    scale: float


class Material(NamedTuple):
    """A surface: two tiles laid by affine maps, and the colours of their mixed tones.

    Attributes:
        tile: grey, coloured through the ramp; or a colour photo, shifted and scaled by the ramp.
        pattern: image coordinates to the tile's (2 × 3).
        ramp: colour of every tone in [0, 255]; values around [0, 1].
        detail: a second grey tile of another scale.
        detail_pattern: image coordinates to the second tile's.
        detail_weight: its share of the mixture.
    """

    tile: UInt8[np.ndarray, "..."]
    pattern: Float[np.ndarray, "2 3"]
    ramp: Float[np.ndarray, "256 3"]
    detail: UInt8[np.ndarray, "side side"]
    detail_pattern: Float[np.ndarray, "2 3"]
    detail_weight: float


class Surfaces(NamedTuple):
    """Where materials of a scene come from: the bank of tiles, the user's photos, the light."""

    bank: list[np.ndarray]
    photos: list[np.ndarray]
    lighting: Lighting


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """Light and palette of a scene."""
    angle = rng.normal(-math.pi / 2, 0.8)  # from above, mostly
    saturation = math.exp(rng.normal(-0.1, 0.35))
    return Lighting(
        direction=(math.cos(angle), math.sin(angle)),
        palette=np.stack([_sample_natural(rng, saturation) for _ in range(SCENE_COLOURS)]),
        saturation=saturation,
        contrast=math.exp(rng.normal(0, 0.35)),
        scale=math.exp(rng.uniform(math.log(0.4), math.log(1.3))),
    )


def sample_colour(rng: np.random.Generator, lighting: Lighting) -> Float[np.ndarray, "3"]:
    """A colour of the scene's palette, somewhat brighter or darker, or one from outside it."""
    if rng.random() < 0.35:
        return _sample_natural(rng, lighting.saturation)
    colour = lighting.palette[int(rng.integers(SCENE_COLOURS))]
    return np.clip(colour * math.exp(rng.normal(0, 0.35)), 0.02, 1)


def _sample_natural(rng: np.random.Generator, saturation: float) -> Float[np.ndarray, "3"]:
    """RGB in [0, 1] as photographs have them: mostly earth, leaves, sky and greys, few of them vivid."""
    draw = rng.random() * _WEIGHTS[-1]
    _, hue, spread, chroma, deviation = _FAMILIES[int(np.searchsorted(_WEIGHTS, draw))]
    hue = (rng.normal(hue, spread) % 360) / 60
    chroma = min(max(rng.normal(chroma, deviation) * saturation, 0.0), 0.9)
    value = min(max(rng.beta(1.8, 1.7), 0.05), 0.97)
    corners = (min(max(abs((hue + k) % 6 - 3) - 1, 0.0), 1.0) for k in (0, 4, 2))
    return np.array([value * (1 - chroma + chroma * c) for c in corners], np.float32)


def sample_material(
    rng: np.random.Generator,
    surfaces: Surfaces,
    near: Float[np.ndarray, "3"] | None = None,
    contrast: float = 1.0,
    flatten: float = 1.0,
) -> Material:
    """A surface drawn at random.

    Args:
        rng: source of chance.
        surfaces: tiles, photos and light.
        near: a colour that the surface's own shall be close to (camouflage, or parts of one thing).
        contrast: factor of the strength of texture.
        flatten: factor by which texture is squeezed vertically, as on ground seen at a slant.
    """
    lighting = surfaces.lighting
    if near is None:
        base = sample_colour(rng, lighting)
    else:
        base = np.clip(near * math.exp(rng.normal(0, 0.12)) + rng.normal(0, 0.02, 3), 0.02, 1)
    detail = surfaces.bank[int(rng.integers(len(surfaces.bank)))]
    detail_pattern = _sample_pattern(rng, detail, math.exp(rng.uniform(-1.2, 0.9)), flatten)
    if surfaces.photos and rng.random() < 0.5:
        tile = surfaces.photos[int(rng.integers(len(surfaces.photos)))]
        tint = rng.normal(0, 0.05, 3) + rng.normal(0, 0.08)
        ramp = np.linspace(tint, tint + math.exp(rng.normal(0, 0.25)), 256, dtype=np.float32)
        scale = math.exp(rng.uniform(math.log(0.4), math.log(2.0)))
    else:
        tile = surfaces.bank[int(rng.integers(len(surfaces.bank)))]
        ramp = _sample_ramp(rng, base, contrast, lighting)
        scale = lighting.scale * math.exp(rng.normal(-0.4, 0.6))
    pattern = _sample_pattern(rng, tile, scale, flatten)
    return Material(tile, pattern, ramp, detail, detail_pattern, float(rng.uniform(0.1, 0.75)))


def _sample_ramp(
    rng: np.random.Generator, base: np.ndarray, contrast: float, lighting: Lighting
) -> Float[np.ndarray, "256 3"]:
    # Most surfaces are plain; a few have more contrast inside than at any border.
    strength = min(1.3, contrast * lighting.contrast * rng.lognormal(-0.15, 0.7))
    # Shadows in a texture are of another hue than its lights, a little.
    hue_shift = 1 + rng.normal(0, 0.06, (2, 3))
    dark = base * max(1 - strength, 0.04) * hue_shift[0]
    light = (base * (1 + strength) + 0.1 * strength) * hue_shift[1]
    if rng.random() < 0.15:
        light = base + (sample_colour(rng, lighting) - base) * min(1.0, 2 * strength)
    ramp = np.where(_TONES < 0, base + (base - dark) * _TONES, base + (light - base) * _TONES)
    return ramp.astype(np.float32)


_TONES = np.linspace(-1, 1, 256)[:, None]


def _sample_pattern(
    rng: np.random.Generator, tile: np.ndarray, scale: float, flatten: float
) -> Float[np.ndarray, "2 3"]:
    draw = rng.random(6)
    # Directions gather around upright and level, as they do in photographs.
    angle = math.pi * (
        draw[0] if draw[1] < 0.3 else (draw[1] < 0.65) * 0.5 + 0.15 * (draw[0] - 0.5)
    )
    stretch = math.exp(0.5 * (draw[2] - 0.5))
    along, across = stretch / scale, flatten / (stretch * scale)
    if draw[3] < 0.5:
        along = -along
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array(
        [
            [cosine * along, -sine * across, draw[4] * tile.shape[1]],
            [sine * along, cosine * across, draw[5] * tile.shape[0]],
        ]
    )


def mean_colour(material: Material) -> Float[np.ndarray, "3"]:
    """About the colour that a surface has from afar."""
    return material.ramp[128]


def render_material(material: Material, box: Box) -> Float[np.ndarray, "h w 3"]:
    """Colours of a surface inside a box, about [0, 1], before light and shade."""
    tones = _lay(material.tile, material.pattern, box)
    if tones.ndim == 3:
        start, gain = material.ramp[0], material.ramp[-1] - material.ramp[0]
        return tones.astype(np.float32) * (gain / np.float32(255)) + start
    weight = material.detail_weight
    if weight > 0.05 and box[2] * box[3] > SMALL_AREA:
        detail = _lay(material.detail, material.detail_pattern, box)
        # The mixture keeps the strength of its parts, which are independent.
        share = 1 / math.hypot(1 - weight, weight)
        first, second = share * (1 - weight), share * weight
        tones = cv2.addWeighted(tones, first, detail, second, 128 * (1 - first - second))
    return np.take(material.ramp, np.asarray(tones, np.uint8), axis=0)


SMALL_AREA = 600
"""In a box of fewer pixels, detail isn't worth its time."""


def render_tones(
    tile: UInt8[np.ndarray, "side side"], pattern: Float[np.ndarray, "2 3"], box: Box
) -> Float[np.ndarray, "h w"]:
    """A tile as a grey field around 0, of standard deviation about 1: for shapes and light, not colour."""
    return cv2.LUT(_lay(tile, pattern, box), _STANDARD)


_STANDARD = ((np.arange(256) - 128) / 45).astype(np.float32)


def _lay(tile: np.ndarray, pattern: np.ndarray, box: Box) -> np.ndarray:
    top, left, height, width = box
    moved = pattern.copy()
    moved[:, 2] += pattern[:, :2] @ (left, top)
    is_periodic = tile.ndim == 2
    return cv2.warpAffine(
        tile,
        moved,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP if is_periodic else cv2.BORDER_REFLECT_101,
    )
