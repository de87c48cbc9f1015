"""Segmenting objects by clicks (SAM, section 7.1 and appendix D.1): the sessions of one image.

An object is clicked, the method answers with one mask or several, one of them is picked, and the next click goes to the
point farthest inside its error region. Two annotators pick. One trusts the method and picks the mask of highest score:
that is what counts, and what the number of clicks (NoC, as RITM reports it) is taken from. The other is the oracle, who
picks the mask that is nearest to the truth, which shows what ambiguity costs; the paper reports it for one click only,
because after that SAM answers with a single mask, but here the oracle's session goes on from the mask it picked.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from sam_jax.data.example import Example, RecordError, mask_runs
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.mask_overlap import mask_iou
from sam_jax.evaluation.points.annotator import Answer, Clicks, draw_pixel, find_centre, next_click
from sam_jax.evaluation.points.segmenters import ClickSegmenter
from sam_jax.evaluation.timing import METHOD_SECONDS, Stopwatch
from sam_jax.ops.rle import encode_rle
from sam_jax.types import InputError, PointLabel

OBJECTS_AT_ONCE = 16
"""Objects of an image whose masks are in memory together."""

Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True, kw_only=True)
class PointsConfig:
    """How objects are clicked.

    Attributes:
        clicks: The mIoU is given after 1, 2, ... up to this many clicks.
        first: Where the first click goes: to the mask's centre, or to a random pixel of the mask.
        noc_thresholds: IoUs above 0 and at most 1 for which the number of clicks (NoC) is counted. Without any, no more
            than `clicks` clicks are made.
        noc_limit: The most clicks to reach an IoU; an object that needs more is a failure and counts as this number.
        masks_per_image: The most objects of an image that are measured, drawn at random; None for all.
        min_area: Area in pixels of the smallest objects that are measured.
        seed: Seed of all random numbers.

    Raises:
        InputError: A number is out of range.
    """

    clicks: int = 9
    first: Literal["centre", "random"] = "centre"
    noc_thresholds: tuple[float, ...] = (0.85, 0.9)
    noc_limit: int = 20
    masks_per_image: int | None = None
    min_area: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("clicks", "noc_limit", "masks_per_image", "min_area"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: it must be 1 or more")
        if not all(0 < threshold <= 1 for threshold in self.noc_thresholds):
            raise InputError(
                f"noc_thresholds are {self.noc_thresholds}: an IoU is above 0 and at most 1"
            )


class Picker(StrEnum):
    """The annotator who picks one of the masks that a method answers with."""

    TRUSTED = "trusted"
    """The mask of highest score."""
    ORACLE = "oracle"
    """The mask nearest to the truth."""


@dataclass(kw_only=True)
class _Object:
    """What has become of one object so far."""

    index: int
    truth: Mask
    ious: dict[Picker, list[float]] = field(default_factory=lambda: {who: [] for who in Picker})
    clicks: Clicks
    masks: dict[str, Mask] = field(default_factory=dict)


class _Session(NamedTuple):
    """The clicks on an object by the annotators who have picked the same masks so far."""

    subject: _Object
    pickers: tuple[Picker, ...]
    clicks: Clicks


def choose_masks(example: Example, index: int, config: PointsConfig) -> list[int]:
    """Indices of the masks to measure, ascending: those that are large enough, at most `masks_per_image` of them.

    Args:
        example: Photo and truth.
        index: Index of the image in its data set, by which together with the seed masks are drawn.
        config: Which objects to measure.
    """
    order = np.random.default_rng([config.seed, index]).permutation(len(example.masks)).tolist()
    chosen: list[int] = []
    for number in order:
        if len(chosen) == config.masks_per_image:
            break
        if mask_runs(example.masks, number).area >= config.min_area:
            chosen.append(number)
    return sorted(chosen)


def click_objects(
    segmenter: ClickSegmenter, example: Example, index: int, config: PointsConfig
) -> ImageRecord:
    """Click the objects of an image until all that is wanted of them is known.

    Args:
        segmenter: The method, which answers the clicks.
        example: Photo and truth.
        index: Index of the image in its data set. Random draws depend on this and the seed alone, and so not on what
            was measured before.
        config: How to click.

    Returns:
        The record: `name`; `size` (h, w); `method_seconds` in the method; and `masks`, with for each object: `mask`,
        its index; `area` in pixels; `trusted` and `oracle`, the IoUs after each click, which end early where nothing
        is left to click; `points` of the trusting session as x, y, label; `first_mask` and `last_mask`, the counts of
        COCO's run-length encoding of the trusted masks after the first click and the last.

    Raises:
        InputError: A mask of the truth, or one that the method answers with, is not of the image's size.
    """
    watch = Stopwatch()
    chosen = choose_masks(example, index, config)
    if chosen:
        with watch:
            segmenter.set_image(example.image)
    masks = []
    for start in range(0, len(chosen), OBJECTS_AT_ONCE):
        some = chosen[start : start + OBJECTS_AT_ONCE]
        objects = [_open_object(example, index, number, config) for number in some]
        _play(segmenter, watch, objects, config, example.name)
        masks += [_describe(subject) for subject in objects]
    return {
        "name": example.name,
        "size": list(example.image.shape[:2]),
        METHOD_SECONDS: watch.seconds,
        "masks": masks,
    }


def count_clicks(ious: Sequence[float], threshold: float, limit: int) -> int | None:
    """The number of the first click that reaches an IoU; None if the first `limit` clicks don't.

    Args:
        ious: IoU after each click.
        threshold: The IoU to reach.
        limit: The most clicks that are looked at.

    >>> count_clicks([0.5, 0.86, 0.8, 0.92], 0.85, 20)
    2
    """
    return next((n for n, iou in enumerate(ious[:limit], 1) if iou >= threshold), None)


def _open_object(example: Example, index: int, number: int, config: PointsConfig) -> _Object:
    truth = example.masks[number]
    if truth.shape != example.image.shape[:2]:
        (height, width), (image_height, image_width) = truth.shape, example.image.shape[:2]
        raise RecordError(
            f"{example.name}: mask {number} is {width} wide and {height} high, "
            f"but the image is {image_width} wide and {image_height} high"
        )
    if config.first == "centre":
        point = find_centre(truth)
    else:
        point = draw_pixel(truth, np.random.default_rng([config.seed, index, number]))
    clicks = Clicks(point[None], np.array([int(PointLabel.FOREGROUND)]))
    return _Object(index=number, truth=truth, clicks=clicks)


def _play(
    segmenter: ClickSegmenter,
    watch: Stopwatch,
    objects: list[_Object],
    config: PointsConfig,
    name: str,
) -> None:
    """All sessions of some objects, one click each at a time."""
    sessions = [_Session(subject, tuple(Picker), subject.clicks) for subject in objects]
    while sessions:
        with watch:
            answers = segmenter.answer([session.clicks for session in sessions])
        following: list[_Session] = []
        for session, answer in zip(sessions, answers, strict=True):
            _check_size(answer, session.subject.truth, name)
            following += _go_on(session, answer, config)
        sessions = following


def _check_size(answer: Answer, truth: Mask, name: str) -> None:
    (height, width), (truth_height, truth_width) = answer.masks.shape[1:], truth.shape
    if (height, width) != truth.shape:
        raise InputError(
            f"{name}: the method answers with masks of {width}x{height} pixels, "
            f"but the image has {truth_width}x{truth_height}"
        )


def _go_on(session: _Session, answer: Answer, config: PointsConfig) -> Iterator[_Session]:
    """Note the IoUs of the picked masks, and click again; sessions of annotators who pick different masks part."""
    subject = session.subject
    ious = [mask_iou(mask, subject.truth) for mask in answer.masks]
    picks = {Picker.TRUSTED: int(np.argmax(answer.scores)), Picker.ORACLE: int(np.argmax(ious))}
    ways: defaultdict[int, list[Picker]] = defaultdict(list)
    for picker in session.pickers:
        pick = picks[picker]
        subject.ious[picker].append(ious[pick])
        if picker is Picker.TRUSTED:
            subject.clicks = session.clicks
            # Copies, so that an answer's other masks are not kept alive by them.
            subject.masks["last_mask"] = answer.masks[pick].copy()
            subject.masks.setdefault("first_mask", subject.masks["last_mask"])
        if _wants_more(picker, subject.ious[picker], config):
            ways[pick].append(picker)
    for pick, pickers in ways.items():
        click = next_click(subject.truth, answer.masks[pick], session.clicks.points)
        if click is not None:
            clicks = session.clicks.add(click, answer.memories[pick])
            yield _Session(subject, tuple(pickers), clicks)


def _wants_more(picker: Picker, ious: list[float], config: PointsConfig) -> bool:
    if len(ious) < config.clicks:
        return True
    if picker is Picker.ORACLE or len(ious) >= config.noc_limit:
        return False
    return any(
        count_clicks(ious, threshold, config.noc_limit) is None
        for threshold in config.noc_thresholds
    )


def _describe(subject: _Object) -> dict[str, Any]:
    points, labels = subject.clicks.points.tolist(), subject.clicks.labels.tolist()
    return {
        "mask": subject.index,
        "area": int(np.count_nonzero(subject.truth)),
        **{picker.value: ious for picker, ious in subject.ious.items()},
        "points": [[*point, label] for point, label in zip(points, labels, strict=True)],
        **{name: encode_rle(mask, compress=True)["counts"] for name, mask in subject.masks.items()},
    }
