"""Phrases about drawn things: "a small striped red circle left of the blue square", and what each of them fits.

A thing has a size, a texture, a colour, a shape and a place. A phrase names some of these, and fits every thing that
has what it names: "red circle" fits the striped one, too.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from sam_jax.types import InputError

SIZES = ("small", "large")
"""Sizes that phrases name; what is neither is "medium", which none does."""
MEDIUM = "medium"
TEXTURES = ("plain", "striped", "dotted", "checked")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent")
RELATIONS = ("left of", "right of", "above", "below")
ARTICLES = ("a", "an", "the")
NOUNS = ("thing", "shape")
"""Nouns of phrases that name no shape."""
WORDS = (
    *ARTICLES,
    *SIZES,
    *TEXTURES,
    *COLOURS,
    *SHAPES,
    *NOUNS,
    *dict.fromkeys(" ".join(RELATIONS).split()),
)
"""All words of all phrases."""
MOST_WORDS = 12
"""Words of the longest phrase, with its articles."""


class DrawnObject(NamedTuple):
    """A thing in a drawing.

    Attributes:
        size: One of `SIZES`, or "medium", by the standards of its drawing.
        texture: One of `TEXTURES`.
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        centre: Place (x, y) of its middle in pixels.
    """

    size: str
    texture: str
    colour: str
    shape: str
    centre: tuple[float, float]


class Phrase(NamedTuple):
    """A phrase; what is None is not said.

    Attributes:
        size: One of `SIZES`.
        texture: One of `TEXTURES`.
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        relation: One of `RELATIONS`, to something that `other` fits.
        other: What the relation is to; it has no relation itself.
    """

    size: str | None = None
    texture: str | None = None
    colour: str | None = None
    shape: str | None = None
    relation: str | None = None
    other: "Phrase | None" = None

    def __str__(self) -> str:
        parts = [self.size, self.texture, self.colour, self.shape or NOUNS[0]]
        if self.other is not None:
            parts += [self.relation, "the", str(self.other)]
        return " ".join(part for part in parts if part)

    @property
    def appearance(self) -> "Phrase":
        """What the phrase says of the thing that a picture of the thing alone can show: neither its size nor where."""
        return Phrase(texture=self.texture, colour=self.colour, shape=self.shape)


def is_held_back(texture: str | None, colour: str | None, shape: str | None) -> bool:
    """Whether words are a combination that no training picture shows.

    Held back are one colour of each shape and one texture of every other shape: 8 of 64 pairs of colour and shape, and
    4 of 32 pairs of texture and shape.

    Args:
        texture: Texture of a thing, or None if it is not named.
        colour: Colour of a thing, likewise.
        shape: Shape of a thing, likewise.

    >>> is_held_back(None, "green", "circle"), is_held_back("plain", "green", "square")
    (True, False)
    """
    if shape is None:
        return False
    number = SHAPES.index(shape)
    colour_is = colour == COLOURS[(3 * number + 3) % len(COLOURS)]
    texture_is = number % 2 == 1 and texture == TEXTURES[(number // 2 + 1) % len(TEXTURES)]
    return colour_is or texture_is


def fits(phrase: Phrase | str, thing: DrawnObject, others: Sequence[DrawnObject] = ()) -> bool:
    """Whether a phrase fits a thing: whether the thing has all that the phrase names.

    One thing is left of another if its middle is, and more so than it is above or below; the other relations likewise.

    Args:
        phrase: A phrase, or its text.
        thing: The thing.
        others: All things of the drawing, to which relations can be; the thing itself may be among them.

    Raises:
        InputError: The text is no such phrase.

    >>> circle = DrawnObject("small", "striped", "red", "circle", (10.0, 20.0))
    >>> square = DrawnObject("large", "plain", "blue", "square", (50.0, 25.0))
    >>> fits("a red circle", circle), fits("plain circle", circle)
    (True, False)
    >>> fits("thing left of the blue square", circle, [circle, square])
    True
    """
    phrase = read_phrase(phrase) if isinstance(phrase, str) else phrase
    wanted = (phrase.size, phrase.texture, phrase.colour, phrase.shape)
    if not all(word is None or word == has for word, has in zip(wanted, thing[:4], strict=True)):
        return False
    if phrase.relation is None or phrase.other is None:
        return True
    return any(
        find_relation(thing, other) == phrase.relation and fits(phrase.other, other)
        for other in others
    )


def find_relation(thing: DrawnObject, other: DrawnObject) -> str | None:
    """What a thing is to another one, one of `RELATIONS`; None where neither is clear."""
    across, down = (a - b for a, b in zip(thing.centre, other.centre, strict=True))
    if abs(across) == abs(down):
        return None
    if abs(across) > abs(down):
        return RELATIONS[0] if across < 0 else RELATIONS[1]
    return RELATIONS[2] if down < 0 else RELATIONS[3]


def list_phrases(thing: DrawnObject, others: Sequence[DrawnObject] = ()) -> list[Phrase]:
    """All phrases that fit a thing but those that name nothing, with at most one relation to each other thing.

    Args:
        thing: The thing.
        others: All things of the drawing; relations are to what their colours and shapes name.
    """
    sizes = (None, thing.size) if thing.size in SIZES else (None,)
    alone = [
        Phrase(*parts)
        for parts in itertools.product(
            sizes, (None, thing.texture), (None, thing.colour), (None, thing.shape)
        )
        if any(parts)
    ]
    related = {
        (relation, Phrase(colour=other.colour, shape=other.shape))
        for other in others
        if (relation := find_relation(thing, other))
    }
    by_looks = [phrase for phrase in alone if phrase.shape]
    return alone + [
        phrase._replace(relation=relation, other=other)
        for relation, other in sorted(related, key=str)
        for phrase in by_looks
    ]


def read_phrase(text: str) -> Phrase:
    """A phrase of its text, with or without articles.

    Raises:
        InputError: A word is unknown, or the words make no phrase.

    >>> str(read_phrase("The small red star above a blue shape"))
    'small red star above the blue thing'
    """
    words = split_words(text)
    if unknown := find_unknown_words(text):
        raise InputError(
            f"{text!r}: {unknown[0]!r} is no word of drawings; there are {', '.join(WORDS)}"
        )
    sentence = " ".join(word for word in words if word not in ARTICLES)
    for relation in RELATIONS:
        thing, found, other = sentence.partition(f" {relation} ")
        if found:
            return _read_thing(thing, text)._replace(
                relation=relation, other=_read_thing(other, text)
            )
    return _read_thing(sentence, text)


def find_unknown_words(text: str) -> list[str]:
    """The words of a text that no phrase has.

    >>> find_unknown_words("a red wheel, please")
    ['wheel', 'please']
    """
    return [word for word in split_words(text) if word not in WORDS]


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case, without the marks around them."""
    return [word for part in text.lower().split() if (word := part.strip(".,;:!?'\""))]


def _read_thing(words: str, text: str) -> Phrase:
    kinds = {"size": SIZES, "texture": TEXTURES, "colour": COLOURS, "shape": (*SHAPES, *NOUNS)}
    found: dict[str, str] = {}
    for word in words.split():
        kind = next((kind for kind, known in kinds.items() if word in known), None)
        if kind is None or kind in found:
            raise InputError(f"{text!r} is no phrase of drawings, such as {EXAMPLE!r}")
        found[kind] = word
    if not found:
        raise InputError(f"{text!r} names no thing; a phrase of drawings is such as {EXAMPLE!r}")
    if found.get("shape") in NOUNS:
        del found["shape"]
    return Phrase(found.get("size"), found.get("texture"), found.get("colour"), found.get("shape"))


EXAMPLE = "small striped red circle left of the blue square"
"""A phrase that shows what phrases can say."""
