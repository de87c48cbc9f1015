"""How well phrases choose among the things of drawings: by crops of the true masks, and by automatic masks."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sam_jax.data.drawn import DrawnSource, find_unique_phrases, replace_word
from sam_jax.data.example import Example
from sam_jax.data.phrases import Phrase, fits, is_held_back
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.inference.text_ranking import find_threshold, measure_similarities
from sam_jax.models.clip import ClipModel, embed_text
from sam_jax.ops.rle import decode_rle

SEED = 1_000_000
"""Seed of the drawings that are measured; those of training have others."""
PHRASES_PER_DRAWING = 8
"""Most phrases of a drawing, half of them with what fits none of its things."""


@runtime_checkable
class FindsMasks(Protocol):
    """What finds all masks of an image, as a `sam_jax.SamAutomaticMaskGenerator` does."""

    def generate(self, image: Any) -> list[Any]:
        """Records of all masks of an image."""
        ...


class Question(NamedTuple):
    """A phrase for one of the things of a drawing.

    Attributes:
        phrase: The phrase.
        answer: Number of the thing that it fits; -1 where it fits none.
    """

    phrase: Phrase
    answer: int


class Choices(NamedTuple):
    """How phrases chose among the crops of all things of their drawing.

    Attributes:
        phrases: Number of phrases that fit one thing.
        right: Share of them whose most similar crop is that of the thing.
        found: Share of them whose most similar crop is that of the thing, and similar enough by the threshold.
        absent: Number of phrases that fit nothing.
        refused: Share of them to which no crop is similar enough.
    """

    phrases: int
    right: float
    found: float
    absent: int
    refused: float


class Ranking(NamedTuple):
    """How phrases chose among the automatic masks of their drawing.

    Attributes:
        phrases: Number of phrases, each of which fits one thing.
        right: Share of them whose most similar mask overlaps most with the thing, of all things of the drawing.
        mean_iou: Mean IoU of the most similar mask and the thing; 0 where there is no mask.
        best_iou: The same of the mask that overlaps most with the thing: what a perfect choice would reach.
    """

    phrases: int
    right: float
    mean_iou: float
    best_iou: float


def ask(source: DrawnSource, drawings: int) -> Iterator[tuple[Example, list[Question]]]:
    """Drawings with questions, always the same.

    A phrase that fits one thing names nothing but texture, colour and shape, which a crop can show. Of a source whose
    drawings show combinations that training never does, each names one. Absent phrases are made of them by a word.

    Args:
        source: Drawings.
        drawings: Number of drawings.
    """
    for index in range(drawings):
        example = source[index]
        rng = np.random.default_rng(np.random.SeedSequence(source.seed, spawn_key=(3, index)))
        known = [
            Question(phrase, thing)
            for thing in range(len(example.objects))
            for phrase in find_unique_phrases(example.objects, thing)
            if phrase == phrase.appearance
            and is_held_back(phrase.texture, phrase.colour, phrase.shape) == source.held_back
        ]
        chosen = [known[k] for k in rng.permutation(len(known))[: PHRASES_PER_DRAWING // 2]]
        changed = [replace_word(rng, question.phrase) for question in chosen]
        absent = [
            Question(phrase, -1)
            for phrase in dict.fromkeys(changed)
            if not any(fits(phrase, thing) for thing in example.objects)
        ]
        if chosen:
            yield example, chosen + absent


def measure_choices(
    clip: ClipModel, source: DrawnSource, drawings: int, threshold: float | None = None
) -> Choices:
    """Ask for things of drawings, and choose the crop that is most similar, as `sam-jax generate --text` does.

    Args:
        clip: CLIP with its weights and its words.
        source: Drawings.
        drawings: Number of drawings.
        threshold: Similarity below which nothing fits; None for the model's default.
    """
    threshold = find_threshold(clip) if threshold is None else threshold
    right, found, refused = [], [], []
    for example, questions in ask(source, drawings):
        masks = [example.masks[k] for k in range(len(example.masks))]
        similarities = measure_similarities(clip, example.image, masks, _embed(clip, questions))
        for question, column in zip(questions, similarities.T, strict=True):
            if question.answer < 0:
                refused.append(column.max() < threshold)
                continue
            is_right = column.argmax() == question.answer
            right.append(is_right)
            found.append(is_right and column.max() >= threshold)
    return Choices(len(right), _mean(right), _mean(found), len(refused), _mean(refused))


def measure_ranking(
    generator: FindsMasks, clip: ClipModel, source: DrawnSource, drawings: int
) -> Ranking:
    """Ask for things of drawings, and choose the automatic mask that is most similar.

    Args:
        generator: Generator of all masks.
        clip: CLIP with its weights and its words.
        source: Drawings.
        drawings: Number of drawings.
    """
    right, ious, best = [], [], []
    for example, questions in ask(source, drawings):
        questions = [question for question in questions if question.answer >= 0]
        records = generator.generate(example.image)
        masks = [record["segmentation"] for record in records if record["area"]]
        masks = [mask if isinstance(mask, np.ndarray) else decode_rle(mask) for mask in masks]
        similarities = measure_similarities(clip, example.image, masks, _embed(clip, questions))
        overlaps = np.array(
            [
                [mask_iou(mask, example.masks[k]) for k in range(len(example.masks))]
                for mask in masks
            ]
        ).reshape(-1, len(example.masks))
        for question, column in zip(questions, similarities.T, strict=True):
            if not len(masks):
                right.append(False)
                ious.append(0.0)
                best.append(0.0)
                continue
            chosen = overlaps[column.argmax()]
            right.append(chosen.max() > 0 and chosen.argmax() == question.answer)
            ious.append(chosen[question.answer])
            best.append(overlaps[:, question.answer].max())
    return Ranking(len(right), _mean(right), _mean(ious), _mean(best))


def _embed(clip: ClipModel, questions: list[Question]) -> Float[np.ndarray, "n d"]:
    return embed_text(clip, [str(question.phrase) for question in questions])


def _mean(values: list) -> float:
    return float(np.mean(values)) if values else 0.0
