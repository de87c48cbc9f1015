"""From drawings to what a model of images and phrases trains on: crops of things, phrases, and which of them fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32

from sam_jax.data.drawn import sample_phrases
from sam_jax.data.example import Example, RecordError
from sam_jax.data.object_crops import crop_object
from sam_jax.data.phrases import ARTICLES, MOST_WORDS, WORDS, fits
from sam_jax.ops.arguments import check_count, check_number
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """How crops and phrases are drawn.

    Attributes:
        image_size: Height and width of a crop in pixels.
        patch_size: Side of a patch in pixels.
        phrases: Number of phrases of a drawing.
        absent: Probability that a word of a phrase is replaced, so that the phrase may fit nothing.
        most_growth: Largest factor by which the box of a thing grows before it is cropped; the smallest is 1.

    Raises:
        InputError: A value is out of its range.
    """

    image_size: tuple[int, int]
    patch_size: int
    phrases: int = 24
    absent: float = 0.3
    most_growth: float = 2.0

    def __post_init__(self) -> None:
        check_count("phrases", self.phrases, least=1)
        check_number("absent", self.absent, least=0, most=1)
        check_number("most_growth", self.most_growth, least=1)


class PhrasedExample(NamedTuple):
    """One drawing of a `PhrasedBatch`, with the same fields."""

    images: Float32[np.ndarray, "n h w 3"]
    patches: Bool[np.ndarray, "n gh gw"]
    words: Int32[np.ndarray, "m words"]
    fits: Bool[np.ndarray, "n m"]
    valid: Bool[np.ndarray, " n"]


class PhrasedBatch(NamedTuple):
    """The input of a training step; shapes are the same from batch to batch.

    Attributes:
        images: Crops around the things of each drawing, normalised.
        patches: Patches that the thing of each crop reaches into.
        words: Numbers of the words of each phrase in `sam_jax.data.phrases.WORDS`; -1 behind the last.
        fits: Whether each phrase fits each thing, by what a crop can show: texture, colour and shape.
        valid: Which crops are real; a drawing can have fewer than n things.
    """

    images: Float32[np.ndarray, "b n h w 3"]
    patches: Bool[np.ndarray, "b n gh gw"]
    words: Int32[np.ndarray, "b m words"]
    fits: Bool[np.ndarray, "b n m"]
    valid: Bool[np.ndarray, "b n"]


def phrase_example(
    example: Example, things: int, settings: CropSettings, rng: np.random.Generator
) -> PhrasedExample:
    """Crop the things of a drawing, each grown by its own factor and half of them without background, and draw phrases.

    The crops are those of Segment Anything's training with text (appendix D.5).

    Args:
        example: Drawing, with its objects.
        things: Number of crops that the result has room for.
        settings: How crops and phrases are drawn.
        rng: Random generator of all draws; the result depends on nothing else.

    Raises:
        RecordError: Nothing is known of the objects, or one of them has no pixels.
    """
    if not example.objects:
        raise RecordError(f"{example.name}: phrases need drawings; nothing is known of its objects")
    height, width = settings.image_size
    grid = (height // settings.patch_size, width // settings.patch_size)
    images = np.zeros((things, height, width, 3), np.float32)
    patches = np.zeros((things, *grid), bool)
    chosen = rng.permutation(len(example.objects))[:things].tolist()
    try:
        for place, index in enumerate(chosen):
            images[place], patches[place] = crop_object(
                example.image,
                example.masks[index],
                settings.image_size,
                settings.patch_size,
                growth=rng.uniform(1, settings.most_growth),
                zero_background=bool(rng.random() < 0.5),
            )
    except InputError as error:
        raise RecordError(f"{example.name}: {error}") from error
    phrases = sample_phrases(rng, example.objects, settings.phrases, settings.absent)
    fitting = np.zeros((things, len(phrases)), bool)
    for place, index in enumerate(chosen):
        thing = example.objects[index]
        fitting[place] = [fits(phrase.appearance, thing) for phrase in phrases]
    articles = [("", *ARTICLES)[k] for k in rng.integers(1 + len(ARTICLES), size=len(phrases))]
    texts = [f"{article} {phrase}" for article, phrase in zip(articles, phrases, strict=True)]
    return PhrasedExample(
        images, patches, number_words(texts), fitting, np.arange(things) < len(chosen)
    )


def number_words(texts: Sequence[str]) -> Int32[np.ndarray, "m words"]:
    """Numbers of the words of phrases; -1 behind the last.

    >>> number_words(["a red circle"])[0].tolist()
    [0, 9, 17, -1, -1, -1, -1, -1, -1, -1, -1, -1]
    """
    numbers = np.full((len(texts), MOST_WORDS), -1, np.int32)
    for row, text in zip(numbers, texts, strict=True):
        words = [WORDS.index(word) for word in text.split()]
        row[: len(words)] = words
    return numbers
