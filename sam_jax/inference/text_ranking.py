"""Automatic masks that fit phrases, told by CLIP's similarity of crop and phrase.

It needs no Segment Anything that was trained with text: what a mask shows is judged after it was found.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sam_jax.data.object_crops import crop_object
from sam_jax.inference.automatic import Record, SamAutomaticMaskGenerator
from sam_jax.inference.crops import Crop
from sam_jax.messages import count
from sam_jax.models.clip import ClipModel, compare, embed_images, embed_text
from sam_jax.ops.arguments import check_image, check_number
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError

COSINE_THRESHOLD = 0.2
"""Cosine from which a crop is said to show what a phrase says. CLIP itself knows no such limit."""
PROBABILITY_THRESHOLD = 0.5
"""The same for models that were trained by the sigmoid loss, whose logits are those of a probability."""
CROPS_AT_ONCE = 32
"""Crops that are in memory together."""


class TextRecord(Record):
    """A mask that fits a phrase.

    Attributes:
        phrase: The phrase that the mask fits best.
        similarity: Similarity of mask and phrase: a cosine, or the probability that they fit where CLIP was trained by
            the sigmoid loss.
    """

    phrase: str
    similarity: float


class Match(NamedTuple):
    """What masks are, of several phrases.

    Attributes:
        phrases: Number of the phrase that each mask fits best; -1 where it fits none.
        similarities: Similarity of each mask and its best phrase, whether it is enough or not.
    """

    phrases: np.ndarray
    similarities: Float[np.ndarray, " m"]


def measure_similarities(
    clip: ClipModel,
    image: UInt8[np.ndarray, "h w 3"],
    masks: Sequence[Bool[np.ndarray, "h w"]],
    phrases: Float[np.ndarray, "n d"],
    *,
    growth: float | int = 1.2,
    zero_background: bool = True,
) -> Float[np.ndarray, "m n"]:
    """Similarities of masks and phrases, of the crop around each mask.

    Args:
        clip: CLIP with its weights.
        image: RGB photo.
        masks: Masks of the photo.
        phrases: Features of the phrases, from `embed_text`.
        growth: Factor by which the box of a mask grows before it is cropped.
        zero_background: Whether pixels outside the mask become black; the attention of CLIP's last block is confined to
            the mask at any rate.

    Returns:
        Cosines, or probabilities where CLIP was trained by the sigmoid loss.
    """
    sizes = clip.config.image
    found = [np.zeros((0, len(phrases)), np.float32)]
    for start in range(0, len(masks), CROPS_AT_ONCE):
        crops = [
            crop_object(
                image,
                mask,
                sizes.image_size,
                sizes.patch_size,
                growth=growth,
                zero_background=zero_background,
            )
            for mask in masks[start : start + CROPS_AT_ONCE]
        ]
        features = embed_images(
            clip,
            np.stack([crop.pixels for crop in crops]),
            np.stack([crop.patches for crop in crops]),
        )
        if clip.config.has_logit_bias:
            logits = np.asarray(compare(clip, features, phrases), np.float64)
            found.append((1 / (1 + np.exp(-logits))).astype(np.float32))
        else:
            found.append(features @ phrases.T)
    return np.concatenate(found)


def match_masks(similarities: Float[np.ndarray, "m n"], threshold: float | int) -> Match:
    """Give each mask to the phrase that it is most similar to, or to none.

    Args:
        similarities: Similarities of masks and phrases.
        threshold: Similarity below which a mask fits no phrase.

    >>> match_masks(np.array([[0.1, 0.3], [0.1, 0.15]], np.float32), 0.2).phrases.tolist()
    [1, -1]
    """
    best = similarities.argmax(axis=1)
    highest = similarities.max(axis=1)
    return Match(np.where(highest >= threshold, best, -1), highest)


class TextMaskGenerator:
    """Finds the masks of a photo that fit phrases, by an automatic generator and CLIP.

    Args:
        generator: Generator of all masks.
        clip: CLIP with its weights and its words.
        phrases: Phrases, such as "a wheel"; each mask is given to the one that it fits best, or to none.
        threshold: Similarity from which a mask fits a phrase: a cosine, by default 0.2, or, where CLIP was trained by
            the sigmoid loss, a probability, by default 0.5.

    Attributes:
        masks: Number of masks that have been compared so far.
        highest: Highest similarity of a mask to each phrase so far.

    Raises:
        InputError: There is no phrase, one is empty or twice there, or the threshold is no number.
    """

    def __init__(
        self,
        generator: SamAutomaticMaskGenerator,
        clip: ClipModel,
        phrases: Sequence[str],
        threshold: float | int | None = None,
    ) -> None:
        if isinstance(phrases, str) or not phrases:
            raise InputError("phrases are a list of at least one, as in ['a wheel']")
        if len(set(phrases)) < len(phrases):
            raise InputError(f"a phrase is there twice: {', '.join(phrases)}")
        if threshold is None:
            threshold = find_threshold(clip)
        check_number("threshold", threshold, least=-1, most=1)
        self.generator = generator
        self.clip = clip
        self.phrases = list(phrases)
        self.threshold = threshold
        self._features = embed_text(clip, self.phrases)
        self._lock = threading.Lock()
        self.masks = 0
        self.highest = np.full(len(self.phrases), -np.inf)

    @property
    def images_per_batch(self) -> int:
        """Number of images that are encoded together."""
        return self.generator.images_per_batch

    def plan(self, image: Any) -> list[Crop]:
        """Where an image is looked at, as `SamAutomaticMaskGenerator.plan` tells it.

        Raises:
            InputError: The image is not an RGB image, or too thin for the model.
        """
        return self.generator.plan(image)

    def generate(self, image: Any) -> list[TextRecord]:
        """The masks of an image that fit a phrase, the most similar first.

        Args:
            image: RGB image of height x width x 3 bytes of 0 to 255.

        Raises:
            InputError: The image is not an RGB image, or too thin for the model.
        """
        return next(self.generate_many([image]))

    def generate_many(self, images: Iterable[Any]) -> Iterator[list[TextRecord]]:
        """The masks of image after image that fit a phrase.

        Args:
            images: Images as for `generate`.

        Raises:
            InputError: One of the images is not an RGB image, or too thin for the model.
        """
        images = list(images)
        for image, records in zip(images, self.generator.generate_many(images), strict=True):
            yield self._rank(check_image(image), records)

    def _rank(self, image: UInt8[np.ndarray, "h w 3"], records: list[Record]) -> list[TextRecord]:
        records = [record for record in records if record["area"] > 0]
        masks = [_as_mask(record) for record in records]
        similarities = measure_similarities(self.clip, image, masks, self._features)
        with self._lock:
            self.masks += len(masks)
            highest = similarities.max(axis=0, initial=-np.inf)
            self.highest = np.maximum(self.highest, highest)
        match = match_masks(similarities, self.threshold)
        order = np.argsort(-match.similarities, kind="stable")
        return [
            TextRecord(
                **records[index],
                phrase=self.phrases[match.phrases[index]],
                similarity=float(match.similarities[index]),
            )
            for index in order
            if match.phrases[index] >= 0
        ]


def explain_nothing_fits(generators: Sequence[TextMaskGenerator]) -> str | None:
    """Say how near the masks came that were compared; None where no mask was there to be compared.

    Args:
        generators: All generators of a run, which have the same phrases.
    """
    masks = sum(generator.masks for generator in generators)
    if not masks:
        return None
    first = generators[0]
    highest = np.max([generator.highest for generator in generators], axis=0)
    nearest = ", ".join(
        f"{similarity:.2f} for {phrase!r}"
        for phrase, similarity in zip(first.phrases, highest.tolist(), strict=True)
    )
    return (
        f"nothing found: of {count(masks, 'mask')}, none fits a phrase by --text-threshold {first.threshold:g} "
        f"(the highest: {nearest})"
    )


def find_threshold(clip: ClipModel) -> float:
    """The similarity from which a mask fits a phrase, by default."""
    return PROBABILITY_THRESHOLD if clip.config.has_logit_bias else COSINE_THRESHOLD


def _as_mask(record: Record) -> Bool[np.ndarray, "h w"]:
    segmentation = record["segmentation"]
    return decode_rle(segmentation) if isinstance(segmentation, dict) else segmentation
