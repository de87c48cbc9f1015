"""Materials of surfaces: natural colours, textures in any size and direction, pieces of photos."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of the image, in pixels."""

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
"""Number of colours in the palette of a scene, which most of its surfaces are close to."""


class Lighting(NamedTuple):
    """Light and colours that all surfaces of a scene share.

    Attributes:
        direction: Unit vector (x, y) in the image towards the light.
        palette: Colours that most surfaces of the scene are close to, in [0, 1].
        saturation: Factor of the saturation of all colours.
        contrast: Factor of the contrast of all textures.
        scale: Size of textures, in pixels of the image for each pixel of a tile.
    """

    direction: tuple[float, float]
    palette: Float[np.ndarray, "k 3"]
    saturation: float
    contrast: float
    scale: float


class Material(NamedTuple):
    """A material: two tiles laid by affine maps, and the colours of their mixed tones.

    Attributes:
        tile: Grey tile that the ramp colours, or a colour photo that the ramp shifts and scales.
        pattern: Affine map from coordinates of the image to those of the tile.
        ramp: Colour of each tone from 0 to 255, in about [0, 1].
        second_tile: Grey tile of another scale.
        second_pattern: Affine map from coordinates of the image to those of the second tile.
        second_weight: Share of the second tile in the mixture, between 0 and 1.
    """

    tile: UInt8[np.ndarray, "..."]
    pattern: Float[np.ndarray, "2 3"]
    ramp: Float[np.ndarray, "256 3"]
    second_tile: UInt8[np.ndarray, "side side"]
    second_pattern: Float[np.ndarray, "2 3"]
    second_weight: float


class Surfaces(NamedTuple):
    """Sources of the materials of a scene: the bank of tiles, photos of the user, and the light."""

    bank: list[np.ndarray]
    photos: list[np.ndarray]
    lighting: Lighting


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """Draw the light and the palette of a scene."""
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
    """Draw a colour close to the palette of the scene, or one outside of it."""
    if rng.random() < 0.35:
        return _sample_natural(rng, lighting.saturation)
    colour = lighting.palette[int(rng.integers(SCENE_COLOURS))]
    return np.clip(colour * math.exp(rng.normal(0, 0.35)), 0.02, 1)


def _sample_natural(rng: np.random.Generator, saturation: float) -> Float[np.ndarray, "3"]:
    """Draw RGB in [0, 1] as in photos: mostly earth, leaves, sky and greys, few of them vivid."""
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
    """Draw a material.

    Args:
        rng: Source of all draws.
        surfaces: Sources of materials.
        near: Colour that the material is close to, for camouflage and for parts of one thing.
        contrast: Factor of the contrast of the texture.
        flatten: Factor by which the texture is squeezed vertically, as on ground seen at a slant.
    """
    lighting = surfaces.lighting
    if near is None:
        base = sample_colour(rng, lighting)
    else:
        base = np.clip(near * math.exp(rng.normal(0, 0.12)) + rng.normal(0, 0.02, 3), 0.02, 1)
    second_tile = surfaces.bank[int(rng.integers(len(surfaces.bank)))]
    second_pattern = _sample_pattern(rng, second_tile, math.exp(rng.uniform(-1.2, 0.9)), flatten)
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
    return Material(tile, pattern, ramp, second_tile, second_pattern, float(rng.uniform(0.1, 0.75)))


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
    """The colour of a material from afar, approximately."""
    return material.ramp[128]


def render_material(material: Material, box: Box) -> Float[np.ndarray, "h w 3"]:
    """Render the colours of a material in a box, in about [0, 1], before light and shade."""
    tones = _lay(material.tile, material.pattern, box)
    if tones.ndim == 3:
        start, gain = material.ramp[0], material.ramp[-1] - material.ramp[0]
        return tones.astype(np.float32) * (gain / np.float32(255)) + start
    weight = material.second_weight
    if weight > 0.05 and box[2] * box[3] > SMALL_AREA:
        finer = _lay(material.second_tile, material.second_pattern, box)
        # The mixture keeps the strength of its parts, which are independent.
        share = 1 / math.hypot(1 - weight, weight)
        first, second = share * (1 - weight), share * weight
        tones = cv2.addWeighted(tones, first, finer, second, 128 * (1 - first - second))
    return np.take(material.ramp, np.asarray(tones, np.uint8), axis=0)


SMALL_AREA = 600
"""Area of a box in pixels up to which the second tile is left out, to save time."""


def render_tones(
    tile: UInt8[np.ndarray, "side side"], pattern: Float[np.ndarray, "2 3"], box: Box
) -> Float[np.ndarray, "h w"]:
    """Render a tile as a field of mean 0 and standard deviation 1, approximately, for shapes and light."""
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
