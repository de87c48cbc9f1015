"""Drawings whose things have names: flat shapes of known colours and textures, with exact masks and phrases."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_jax.data.example import Example, LabelMasks
from sam_jax.data.phrases import (
    COLOURS,
    MEDIUM,
    SHAPES,
    SIZES,
    TEXTURES,
    DrawnObject,
    Phrase,
    fits,
    is_held_back,
    list_phrases,
)
from sam_jax.data.synthetic.outlines import Outline, ellipse, rectangle, rotate
from sam_jax.ops.arguments import check_count, check_size
from sam_jax.types import InputError

_RADII = {"small": (0.14, 0.19), MEDIUM: (0.22, 0.26), "large": (0.30, 0.37)}
"""Radii of the sizes, in parts of the side of the square that each thing has to itself on average."""
_PITCH = 0.09
"""Distance of stripes, dots and squares, likewise: the same for small things and large ones."""
_SHADES: dict[str, tuple[tuple[int, int], tuple[float, float], tuple[float, float]]] = {
    "red": ((-8, 8), (0.7, 1.0), (0.6, 1.0)),
    "orange": ((22, 40), (0.75, 1.0), (0.8, 1.0)),
    "yellow": ((50, 62), (0.6, 1.0), (0.8, 1.0)),
    "green": ((95, 150), (0.5, 1.0), (0.4, 1.0)),
    "blue": ((205, 245), (0.6, 1.0), (0.55, 1.0)),
    "purple": ((270, 305), (0.5, 1.0), (0.4, 0.85)),
    "pink": ((320, 355), (0.2, 0.5), (0.9, 1.0)),
    "white": ((0, 360), (0.0, 0.06), (0.88, 1.0)),
}
"""Hues in degrees, saturations and values of the colours."""
_PALE = ("pink", "white")
"""Colours whose stripes and dots are always darker."""
_TRIES = 300
"""Places that are tried for a thing before it is left out."""


class Sketch(NamedTuple):
    """A drawing before it is an `Example`.

    Attributes:
        image: RGB picture.
        labels: Number of the thing that each pixel belongs to, from 1; 0 for the background.
        objects: What the things are, in the order of their numbers.
    """

    image: UInt8[np.ndarray, "h w 3"]
    labels: np.ndarray
    objects: tuple[DrawnObject, ...]


MANY = 1_000_000
"""Number of drawings of a source, so many that none comes twice in a run."""


class DrawnSource:
    """Drawings as a random-access data set: example i depends on the settings and on i only.

    Args:
        seed: Seed of every example.
        length: Number of examples.
        size: Height and width of a drawing in pixels.
        things: Number of things in a drawing; one that finds no room is left out.
        held_back: Whether things are combinations of words that training never shows (`is_held_back`): with False none
            is, with True at least one of each drawing.

    Raises:
        InputError: The seed is below 0, a side below 64 pixels, or there are no things.
    """

    def __init__(
        self,
        seed: int = 0,
        length: int = MANY,
        size: tuple[int, int] = (192, 256),
        things: int = 6,
        held_back: bool = False,
    ) -> None:
        check_count("seed", seed)
        check_count("length", length, least=1)
        check_count("things", things, least=1)
        if min(check_size("size", size)) < 64:
            raise InputError(f"a drawing has sides from 64 pixels, not {size}")
        self.seed, self.length, self.size = seed, length, size
        self.things, self.held_back = things, held_back

    @property
    def name(self) -> str:
        """The name of the data set in messages."""
        return f"drawn{'-new' if self.held_back else ''}-{self.seed}"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.name} has {self.length} examples; there is no number {index}")
        rng = np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(2, int(self.held_back), int(index)))
        )
        sketch = draw_sketch(rng, self.size, self.things, self.held_back)
        masks = LabelMasks(sketch.labels, range(1, 1 + len(sketch.objects)))
        return Example(f"{self.name}/{index}", sketch.image, masks, objects=sketch.objects)


def draw_sketch(
    rng: np.random.Generator, size: tuple[int, int], things: int, held_back: bool
) -> Sketch:
    """Draw things that do not overlap.

    Args:
        rng: Source of all draws.
        size: Height and width of the picture in pixels.
        things: Number of things.
        held_back: Whether the first thing is a combination that training never shows; otherwise none is.
    """
    height, width = size
    unit = (height * width / things) ** 0.5
    paper, shades = _draw_paper(rng)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = paper
    labels = np.zeros(size, np.int32)
    objects: list[DrawnObject] = []
    places: list[tuple[float, float, float]] = []
    for words in _choose_words(rng, things, held_back, shades):
        radius = unit * rng.uniform(*_RADII[words[0]])
        centre = _find_room(rng, size, radius, places)
        if centre is None:
            continue
        places.append((*centre, radius))
        objects.append(DrawnObject(*words[:4], centre=centre))
        left, top = (math.floor(middle - radius) for middle in centre)
        side = math.ceil(2 * radius) + 2
        window = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
        corner = np.array(centre) - (window[1].start, window[0].start)
        angle = rng.uniform(-0.35, 0.35)
        inside = np.zeros(labels[window].shape, np.uint8)
        outlines = [radius * rotate(outline, angle) + corner for outline in _OUTLINES[words[3]]]
        cv2.fillPoly(inside, [np.round(outline).astype(np.int32) for outline in outlines], 1)
        mask = inside > 0
        labels[window][mask] = len(objects)
        picture[window][mask] = _paint(rng, mask, words[1], words[2], unit)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8))
    # Grey noise under uneven light, added: a third of the numbers that noise of each colour would take.
    across, down = (np.linspace(-1, 1, side, dtype=np.float32) for side in (width, height))
    slope = rng.normal(0, 6, 2).astype(np.float32)
    light = np.float32(rng.uniform(0, 6)) * rng.standard_normal(size, np.float32)
    light += slope[0] * across + (slope[1] * down)[:, None]
    picture += light[:, :, None]
    image = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    return Sketch(image, labels, tuple(objects))


def sample_phrases(
    rng: np.random.Generator, objects: tuple[DrawnObject, ...], count: int, absent: float
) -> list[Phrase]:
    """Draw phrases about the things of a drawing.

    Args:
        rng: Source of all draws.
        objects: All things of the drawing.
        count: Number of phrases.
        absent: Probability that one word of a phrase is replaced, so that it fits other things or none; no combination
            that is held back arises from it.
    """
    phrases = []
    for _ in range(count):
        thing = objects[int(rng.integers(len(objects)))]
        known = list_phrases(thing)
        phrase = known[int(rng.integers(len(known)))]
        if rng.random() < absent:
            phrase = replace_word(rng, phrase)
        if len(objects) > 1 and rng.random() < 0.1:
            related = list_phrases(thing, objects)[len(known) :]
            phrase = related[int(rng.integers(len(related)))] if related else phrase
        phrases.append(phrase)
    return phrases


def replace_word(rng: np.random.Generator, phrase: Phrase) -> Phrase:
    """Replace the texture, colour or shape that a phrase names by another one, unless that makes what is held back."""
    kinds = {"texture": TEXTURES, "colour": COLOURS, "shape": SHAPES}
    named = [kind for kind in kinds if getattr(phrase, kind)]
    if not named:
        return phrase
    kind = named[int(rng.integers(len(named)))]
    words = [word for word in kinds[kind] if word != getattr(phrase, kind)]
    changed = phrase._replace(**{kind: words[int(rng.integers(len(words)))]})
    return phrase if is_held_back(changed.texture, changed.colour, changed.shape) else changed


def find_unique_phrases(objects: tuple[DrawnObject, ...], index: int) -> list[Phrase]:
    """The phrases that fit one thing of a drawing and no other.

    Args:
        objects: All things of the drawing.
        index: Number of the thing.
    """
    return [
        phrase
        for phrase in list_phrases(objects[index], objects)
        if sum(fits(phrase, thing, objects) for thing in objects) == 1
    ]


def _draw_paper(
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "3"], tuple[str, ...]]:
    """The colour of the background, and the colours of things that stand out from it."""
    kind = rng.random()
    if kind < 0.3:
        value = rng.uniform(235, 255)
        return np.full(3, value, np.float32), tuple(name for name in COLOURS if name != "white")
    if kind < 0.4:
        return np.full(3, rng.uniform(0, 25), np.float32), COLOURS
    return _colour(rng, (0, 360), (0.0, 0.3), (0.1, 0.7)), COLOURS


def _choose_words(
    rng: np.random.Generator, things: int, held_back: bool, shades: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Size, texture, colour and shape of each thing; half of the things take after one that was there before."""
    chosen: list[tuple[str, ...]] = []
    while len(chosen) < things:
        words = tuple(
            kinds[int(rng.integers(len(kinds)))]
            for kinds in ((*SIZES, MEDIUM), TEXTURES, shades, SHAPES)
        )
        if chosen and rng.random() < 0.5:
            model = chosen[int(rng.integers(len(chosen)))]
            alike = rng.random(4) < 0.5
            words = tuple(np.where(alike, model, words).tolist())
        is_new = is_held_back(*words[1:])
        wanted = is_new if held_back and not chosen else held_back or not is_new
        if wanted:
            chosen.append(words)
    return chosen


def _find_room(
    rng: np.random.Generator,
    size: tuple[int, int],
    radius: float,
    places: list[tuple[float, float, float]],
) -> tuple[float, float] | None:
    height, width = size
    tried = rng.uniform(0, 1, (_TRIES, 2)) * (width - 2 * radius, height - 2 * radius) + radius
    taken = np.array(places, float).reshape(-1, 3)
    distances = np.linalg.norm(tried[:, None] - taken[None, :, :2], axis=-1)
    free = np.flatnonzero((distances > 1.08 * (taken[:, 2] + radius)).all(axis=1))
    if not len(free):
        return None
    x, y = tried[free[0]].tolist()
    return x, y


def _paint(
    rng: np.random.Generator, mask: Bool[np.ndarray, "h w"], texture: str, colour: str, unit: float
) -> Float[np.ndarray, "pixels 3"]:
    """The colours of the pixels of a thing."""
    main = _colour(rng, *_SHADES[colour])
    if texture == "plain":
        return np.broadcast_to(main, (int(mask.sum()), 3))
    towards = 0 if colour in _PALE or rng.random() < 0.6 else 255
    share = rng.uniform(0.5, 0.7) if towards == 0 else rng.uniform(0.6, 0.8)
    second = main + np.float32(share) * (np.float32(towards) - main)
    rows, columns = np.nonzero(mask)
    pitch, angle = unit * _PITCH * rng.uniform(0.85, 1.2), rng.uniform(0, np.pi)
    u = (np.cos(angle) * columns + np.sin(angle) * rows) / pitch + rng.random()
    v = (np.cos(angle) * rows - np.sin(angle) * columns) / pitch + rng.random()
    if texture == "striped":
        is_second = u % 1 < 0.5
    elif texture == "checked":
        is_second = (np.floor(u) + np.floor(v)) % 2 < 1
    else:
        is_second = ((u * 0.75) % 1 - 0.5) ** 2 + ((v * 0.75) % 1 - 0.5) ** 2 < 0.085
    return np.where(is_second[:, None], second, main)


def _colour(
    rng: np.random.Generator,
    hues: tuple[int, int],
    saturations: tuple[float, float],
    values: tuple[float, float],
) -> Float[np.ndarray, "3"]:
    hue, saturation, value = (rng.uniform(*span) for span in (hues, saturations, values))
    k = (np.array([5, 3, 1]) + hue % 360 / 60) % 6
    channels = value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return (255 * channels).astype(np.float32)


def _star() -> Outline:
    turn = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2, 0.42, 1.0)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])


def _triangle() -> Outline:
    turn = np.arange(3) * 2 * np.pi / 3 - np.pi / 2
    return np.column_stack([np.cos(turn), np.sin(turn)])


def _cross() -> Outline:
    corners = np.array(
        [(0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3), (0.3, 0.95)]
    )
    return np.concatenate([corners, -corners])


def _heart() -> Outline:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.column_stack([x, -y - 2.5]) / 16.5


def _crescent() -> Outline:
    outer = np.linspace(np.radians(55), np.radians(305), 40)
    tip = np.array([np.cos(outer[0]), np.sin(outer[0])])
    middle = 0.45
    radius = float(np.hypot(tip[0] - middle, tip[1]))
    start = float(np.arctan2(tip[1], tip[0] - middle))
    inner = np.linspace(2 * np.pi - start, start, 40)
    arcs = [
        np.column_stack([np.cos(outer), np.sin(outer)]),
        np.column_stack([middle + radius * np.cos(inner), radius * np.sin(inner)]),
    ]
    return np.concatenate(arcs)


_OUTLINES: dict[str, tuple[Outline, ...]] = {
    "circle": (ellipse(0, 0, 1),),
    "square": (rectangle(-0.75, -0.75, 0.75, 0.75),),
    "triangle": (_triangle(),),
    "star": (_star(),),
    "cross": (_cross(),),
    "ring": (ellipse(0, 0, 1), ellipse(0, 0, 0.55)),
    "heart": (_heart(),),
    "crescent": (_crescent(),),
}
"""Outlines of the shapes, in a circle of radius 1; what lies within two of them is a hole."""
