"""How well phrases with and without a point find the objects that they are about (section 7.5).

The paper shows pictures only. Here are numbers where objects and phrases about them are known: in drawings, and in data
sets of referring expressions, such as RefCOCO ([Yu et al. 2016](https://arxiv.org/abs/1608.00272)).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8

from sam_jax.data.coco import CocoJson
from sam_jax.data.coco_file import read_coco_json, read_json
from sam_jax.data.drawn import DrawnSource
from sam_jax.data.example import Masks
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.evaluation.phrases import ask
from sam_jax.types import InputError

PROMPTS = ("text", "text and a point", "a point")
"""Prompts that are measured."""
_FORM = 'a list `refs` of entries such as {"ann_id": 7, "sentences": [{"sent": "left man"}]}'


@runtime_checkable
class TakesPhrases(Protocol):
    """What answers phrases and points about a photo, as a `sam_jax.SamPredictor` with a CLIP does."""

    def set_image(self, image: Any) -> None:
        """Look at a photo."""
        ...

    def predict(self, *, point_coords: Any, point_labels: Any, text: Any) -> Any:
        """Masks, their predicted IoU, and low-resolution logits."""
        ...


class Referred(NamedTuple):
    """A phrase about one of the objects of a photo.

    Attributes:
        name: Where the photo is.
        image: RGB photo.
        phrase: The phrase.
        masks: Masks of all objects of the photo.
        answer: Number of the object that the phrase is about.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    phrase: str
    masks: Masks
    answer: int


class Answered(NamedTuple):
    """An answer to a prompt.

    Attributes:
        prompt: One of `PROMPTS`.
        mask: The mask of highest predicted IoU.
        iou: Its IoU with the object.
        both: Pixels of mask and object together, for the overall IoU.
        either: Pixels of mask or object.
        is_right: Whether the mask overlaps with the object more than with any other.
    """

    prompt: str
    mask: Bool[np.ndarray, "h w"]
    iou: float
    both: int
    either: int
    is_right: bool


class Scores(NamedTuple):
    """Scores of a prompt.

    Attributes:
        phrases: Number of phrases.
        mean_iou: Mean IoU of answer and object.
        overall_iou: IoU of all answers and objects together.
        above_half: Share of the answers with an IoU of at least 0.5.
        right: Share of the answers that overlap most with the object that is meant, of all objects of the photo.
    """

    phrases: int
    mean_iou: float
    overall_iou: float
    above_half: float
    right: float


def list_drawn(source: DrawnSource, drawings: int) -> Iterator[Referred]:
    """Phrases that fit one thing of a drawing each, always the same.

    Args:
        source: Drawings.
        drawings: Number of drawings.
    """
    for example, questions in ask(source, drawings):
        for question in questions:
            if question.answer >= 0:
                phrase = str(question.phrase)
                yield Referred(example.name, example.image, phrase, example.masks, question.answer)


def list_referred(path: Path) -> Iterator[Referred]:
    """Referring expressions of a JSON file in COCO's format that also has RefCOCO's list `refs`.

    Args:
        path: The file; its photos are in one of the usual places beside it.

    Raises:
        InputError: The file cannot be read, has no such list, or the list is about objects that it does not have.
    """
    source, document = CocoJson(path), read_json(path)
    refs = document.get("refs") if isinstance(document, dict) else None
    if not isinstance(refs, list) or not refs:
        raise InputError(f"{path} has no referring expressions: it needs {_FORM}")
    content = read_coco_json(path)
    objects = content.objects()
    of_photos = [objects[image["id"]] for image in content.images if image["id"] in objects]
    places = {
        annotation["id"]: (number, index)
        for number, annotations in enumerate(of_photos)
        for index, annotation in enumerate(annotations)
    }
    for ref in refs:
        number, index, sentences = _read_ref(path, ref, places)
        example = source[number]
        for sentence in sentences:
            yield Referred(example.name, example.image, sentence, example.masks, index)


def _read_ref(
    path: Path, ref: Any, places: dict[Any, tuple[int, int]]
) -> tuple[int, int, list[str]]:
    try:
        place = places.get(ref["ann_id"])
        sentences = [str(sentence["sent"]) for sentence in ref["sentences"]]
    except (LookupError, TypeError) as error:
        raise InputError(f"{path}: {ref!r} is no entry of `refs`, which are {_FORM}") from error
    if place is None:
        raise InputError(f"{path}: `refs` has an object {ref['ann_id']} that `annotations` lacks")
    return *place, sentences


def answer_all(
    predictor: TakesPhrases, referred: Iterable[Referred], seed: int = 0
) -> Iterator[tuple[Referred, list[Answered]]]:
    """Answers to each phrase alone, with a point in the object, and to the point alone.

    The point is drawn uniformly in the object, the same for both prompts. Photos that follow one another are embedded
    once.

    Args:
        predictor: Predictor with a CLIP.
        referred: Phrases about objects.
        seed: Seed of the points.
    """
    rng, before = np.random.default_rng(seed), None
    for one in referred:
        if one.image is not before:
            predictor.set_image(one.image)
            before = one.image
        truth = one.masks[one.answer]
        places = np.argwhere(truth)
        point = places[rng.integers(len(places))][::-1].astype(np.float64)
        yield one, [_answer(predictor, one, truth, point, prompt) for prompt in PROMPTS]


def _answer(
    predictor: TakesPhrases, one: Referred, truth: np.ndarray, point: np.ndarray, prompt: str
) -> Answered:
    masks, iou, _ = predictor.predict(
        point_coords=point[None] if "point" in prompt else None,
        point_labels=np.ones(1) if "point" in prompt else None,
        text=one.phrase if "text" in prompt else None,
    )
    mask = masks[iou.argmax()]
    overlaps = [mask_iou(mask, one.masks[index]) for index in range(len(one.masks))]
    return Answered(
        prompt,
        mask,
        overlaps[one.answer],
        int((mask & truth).sum()),
        int((mask | truth).sum()),
        max(overlaps) > 0 and int(np.argmax(overlaps)) == one.answer,
    )


def summarise(answers: Sequence[Answered]) -> Scores:
    """Scores of the answers to one prompt."""
    ious = np.array([answer.iou for answer in answers])
    both, either = (sum(getattr(answer, part) for answer in answers) for part in ("both", "either"))
    return Scores(
        phrases=len(answers),
        mean_iou=float(ious.mean()),
        overall_iou=both / max(either, 1),
        above_half=float((ious >= 0.5).mean()),
        right=float(np.mean([answer.is_right for answer in answers])),
    )
