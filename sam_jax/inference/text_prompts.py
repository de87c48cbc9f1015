"""Phrases as prompts, for weights with a text projection: one object for each phrase, or all that a phrase fits.

Segment Anything answers every prompt with a mask, also where nothing fits. So CLIP compares the crop of the mask with
the phrase, and what it finds unlike is not given out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from sam_jax.inference.automatic import SamAutomaticMaskGenerator
from sam_jax.inference.predictor import SamPredictor
from sam_jax.inference.text_ranking import find_threshold, match_masks, measure_similarities
from sam_jax.models.clip import ClipModel, embed_text
from sam_jax.ops.arguments import check_image, check_number
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError

SAME_OBJECT = 0.7
"""Share of the smaller of two masks of a phrase above which, if both have it, they are one object."""


class PhraseAnswer(NamedTuple):
    """What was found for phrases: masks in the order of the phrases, and the most similar of a phrase first.

    Attributes:
        phrases: Phrases that were looked for.
        threshold: Similarity from which a mask fits.
        highest: Highest similarity of a mask to each phrase, whether it is enough or not; minus infinity where there
            was no mask to compare.
        masks: Masks that fit, one for each object; none where nothing fits.
        predicted_iou: The model's own estimate of each mask's IoU.
        similarities: CLIP's similarity of each mask and its phrase: a cosine, or a probability where CLIP was trained
            by the sigmoid loss.
        numbers: Number of the phrase that each mask fits.
    """

    phrases: tuple[str, ...]
    threshold: float
    highest: Float[np.ndarray, " n"]
    masks: Bool[np.ndarray, "k 1 h w"]
    predicted_iou: Float[np.ndarray, "k 1"]
    similarities: Float[np.ndarray, " k"]
    numbers: Int[np.ndarray, " k"]

    def describe(self, index: int) -> dict[str, Any]:
        """What a file says of a mask."""
        phrase = self.phrases[self.numbers[index]]
        return {"phrase": phrase, "similarity": round(float(self.similarities[index]), 6)}

    def explain_missing(self, option: str) -> str | None:
        """Say of which phrases nothing was found, and how near masks came; None where there is a mask of each.

        Args:
            option: Name of the threshold where the user gives it.
        """
        nearest = [
            f"{phrase!r}" + (f" (the highest: {similarity:.2f})" if np.isfinite(similarity) else "")
            for number, (phrase, similarity) in enumerate(
                zip(self.phrases, self.highest.tolist(), strict=True)
            )
            if number not in self.numbers
        ]
        if not nearest:
            return None
        return f"nothing found that fits {', '.join(nearest)} by {option} {self.threshold:g}"


class _Found(NamedTuple):
    """A mask that may fit a phrase."""

    mask: Bool[np.ndarray, "h w"]
    predicted_iou: float
    similarity: float


def segment_phrases(
    predictor: SamPredictor,
    image: UInt8[np.ndarray, "h w 3"],
    phrases: Sequence[str],
    *,
    threshold: float | int | None = None,
    generator: SamAutomaticMaskGenerator | None = None,
    **prompts: Any,
) -> PhraseAnswer:
    """Find the object of each phrase, or all objects that it fits, or nothing.

    One object of a phrase is the mask of highest predicted IoU for the phrase alone. Several are found through a
    generator: each of its masks goes to the phrase that it is most similar to, if it is similar enough; the predictor
    is then asked for the phrase together with the point that gave the mask, and of both masks the one that is more
    similar stays. Of masks that are, for the most part, one in the other, the most similar stays.

    Args:
        predictor: Predictor with a CLIP, after `set_image`.
        image: RGB photo that the predictor is set to.
        phrases: Phrases, such as "a wheel".
        threshold: Similarity from which a mask fits a phrase: a cosine, by default 0.2, or, where CLIP was trained by
            the sigmoid loss, a probability, by default 0.5.
        generator: Generator of all masks, to find several objects for a phrase; None for one object.
        **prompts: Further prompts for the one object of a single phrase, with the names and shapes of
            `SamPredictor.predict_batch`. Somebody has then pointed at the object, so there is no threshold unless one
            is given.

    Raises:
        RuntimeError: No image was set.
        InputError: There is no phrase, one is empty, the predictor has no CLIP or another photo, or further prompts
            come with several phrases or with a generator.
    """
    if isinstance(phrases, str) or not phrases:
        raise InputError("phrases are a list of at least one, as in ['a wheel']")
    if prompts and (len(phrases) > 1 or generator is not None):
        raise InputError("points, boxes and masks belong to one object: give one phrase with them")
    image, clip = check_image(image), predictor.require_clip()
    if predictor.original_size != image.shape[:2]:
        raise InputError("the predictor is set to a photo of another size: set_image(image) first")
    if threshold is None:
        threshold = -np.inf if prompts else find_threshold(clip)
    else:
        check_number("threshold", threshold, least=-1, most=1)
    search = _Search(predictor, clip, image, tuple(phrases), embed_text(clip, phrases))
    if generator is None:
        of_phrases = search.ask(range(len(phrases)), **prompts)
        highest = np.array([one.similarity for one in of_phrases])
        found = [[one] if one.similarity >= threshold else [] for one in of_phrases]
    else:
        found, highest = search.find_all(generator, threshold)
    kept = [one for of_phrase in found for one in of_phrase]
    return PhraseAnswer(
        tuple(phrases),
        float(threshold),
        highest,
        np.array([[one.mask] for one in kept], bool).reshape(-1, 1, *image.shape[:2]),
        np.array([[one.predicted_iou] for one in kept], np.float32).reshape(-1, 1),
        np.array([one.similarity for one in kept], np.float32),
        np.repeat(np.arange(len(phrases)), [len(of_phrase) for of_phrase in found]),
    )


class _Search(NamedTuple):
    """Phrases that are looked for in a photo."""

    predictor: SamPredictor
    clip: ClipModel
    image: UInt8[np.ndarray, "h w 3"]
    phrases: tuple[str, ...]
    features: Float[np.ndarray, "n d"]

    def ask(self, numbers: Sequence[int], **prompts: Any) -> list[_Found]:
        """The mask of highest predicted IoU for each of some phrases; an empty one is like nothing."""
        text = [self.phrases[number] for number in numbers]
        masks, iou, _ = self.predictor.predict_batch(text=text, **prompts)
        places, best = np.arange(len(iou)), iou.argmax(axis=1)
        masks, iou = masks[places, best], iou[places, best]
        is_there = np.flatnonzero(masks.any(axis=(1, 2)))
        similarities = np.full(len(masks), -np.inf)
        measured = self.measure(list(masks[is_there]))
        similarities[is_there] = measured[np.arange(len(is_there)), np.array(numbers)[is_there]]
        return list(map(_Found, masks, iou.tolist(), similarities.tolist()))

    def find_all(
        self, generator: SamAutomaticMaskGenerator, threshold: float | int
    ) -> tuple[list[list[_Found]], Float[np.ndarray, " n"]]:
        """All masks of each phrase, and the highest similarity to each."""
        records = [record for record in generator.generate(self.image) if record["area"] > 0]
        masks = [
            decode_rle(each) if isinstance(each := record["segmentation"], dict) else each
            for record in records
        ]
        similarities = self.measure(masks)
        highest = similarities.max(axis=0, initial=-np.inf).astype(np.float64)
        found: list[list[_Found]] = []
        for number in range(len(self.phrases)):
            match = match_masks(similarities, threshold).phrases if masks else np.zeros(0, int)
            chosen = np.flatnonzero(match == number)
            if not len(chosen):
                found.append([])
                continue
            points = np.array([records[index]["point_coords"] for index in chosen])
            asked = self.ask(
                [number] * len(chosen), point_coords=points, point_labels=np.ones(points.shape[:2])
            )
            generated = [
                _Found(
                    masks[index],
                    records[index]["predicted_iou"],
                    float(similarities[index, number]),
                )
                for index in chosen
            ]
            pairs = zip(asked, generated, strict=True)
            found.append(_once_each([max(pair, key=lambda one: one.similarity) for pair in pairs]))
            highest[number] = max(highest[number], *(one.similarity for one in asked))
        return found, highest

    def measure(self, masks: list[np.ndarray]) -> Float[np.ndarray, "m n"]:
        """Similarities of masks and all phrases."""
        return measure_similarities(self.clip, self.image, masks, self.features)


def _once_each(found: list[_Found]) -> list[_Found]:
    """The masks, the most similar first, without those that are in a more similar one, or around it."""
    kept: list[_Found] = []
    for one in sorted(found, key=lambda one: -one.similarity):
        if all(_overlap(one.mask, other.mask) <= SAME_OBJECT for other in kept):
            kept.append(one)
    return kept


def _overlap(one: Bool[np.ndarray, "h w"], other: Bool[np.ndarray, "h w"]) -> float:
    """Share of the smaller mask that both have."""
    return float((one & other).sum() / min(one.sum(), other.sum()))
