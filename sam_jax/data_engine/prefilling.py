"""Stage 2: masks of what a detector finds, stored for people to accept, correct or reject.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 4, "Semi-automatic stage".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, delete, insert, select, update

from sam_jax.data.example import RecordError, Source, mask_runs
from sam_jax.data.images import read_image
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.mask_states import Prompt, make_model_mask, measure_counts
from sam_jax.data_engine.photos import is_checked, is_free
from sam_jax.data_engine.pictures import inspect_file
from sam_jax.data_engine.schema import MaskState, Stage, Verdict, masks, photos
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.evaluation.proposals.proposers import encode_runs
from sam_jax.inference.object_boxes import find_objects
from sam_jax.models import Detector
from sam_jax.ops.rle import Rle
from sam_jax.types import InputError

CORRECT_IOU = 0.75
"""IoU with an object's mask from which a pre-filled mask is right."""
_SAME_IOU = 0.5
_STABILITY_OFFSET = 1.0


@dataclass(frozen=True, kw_only=True)
class PrefillConfig:
    """Which of the detector's objects become pre-filled masks.

    Attributes:
        least_score: Score of the detector below which an object is left out.
        pred_iou_thresh: Predicted IoU that a mask exceeds; None for what suits the model's weights.
        stability_score_thresh: Stability that a mask has at least; None for what suits the model's weights.
        box_nms_thresh: IoU with a surer box above which a box is left out.

    Raises:
        InputError: A value is not from 0 to 1.
    """

    least_score: float = 0.3
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    box_nms_thresh: float = 0.6

    def __post_init__(self) -> None:
        for name in (
            *("least_score", "pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"),
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} is from 0 to 1, not {value}")


class ProposedMask(NamedTuple):
    """A mask that may be an object's.

    Attributes:
        rle: The mask, with counts as COCO's string.
        prompt: The detector's box as the prompt that gives the mask.
        predicted_iou: IoU that the model predicts.
    """

    rle: Rle
    prompt: Prompt
    predicted_iou: float


class Prefilled(NamedTuple):
    """What was pre-filled.

    Attributes:
        photos: Number of photos that have got masks.
        masks: Number of their masks.
        problems: Photos that could not be used, a line for each.
    """

    photos: int
    masks: int
    problems: list[str]


class PrefilledShare(NamedTuple):
    """How many true objects have a pre-filled mask that is right.

    Attributes:
        objects: Number of true objects.
        proposed: Number of pre-filled masks.
        correct: Number of true objects that a pre-filled mask of its own meets with the IoU asked for.
    """

    objects: int
    proposed: int
    correct: int

    @property
    def share(self) -> float:
        """Share of the true objects that are pre-filled correctly."""
        return self.correct / max(1, self.objects)

    @property
    def precision(self) -> float:
        """Share of the pre-filled masks that are right."""
        return self.correct / max(1, self.proposed)


def propose_masks(
    segmenter: Segmenter, detector: Detector, key: str, config: PrefillConfig
) -> list[ProposedMask]:
    """Masks of the objects that a detector finds in a photo, the surest first.

    Args:
        segmenter: Model that answers the boxes.
        detector: Detector on that model's embeddings.
        key: Name of a photo whose embedding is in memory.
        config: Which objects become masks.

    Raises:
        KeyError: The embedding is not in memory.
    """
    usual = segmenter.model.config.automatic
    least_iou, least_stability = (
        default if given is None else given
        for given, default in (
            (config.pred_iou_thresh, usual.pred_iou_thresh),
            (config.stability_score_thresh, usual.stability_score_thresh),
        )
    )
    image = segmenter.find(key)
    height, width = image.framing.original
    found = find_objects(
        segmenter.model,
        detector,
        image,
        least_score=config.least_score,
        iou_threshold=config.box_nms_thresh,
    )
    proposed: list[ProposedMask] = []
    for x0, y0, x1, y1 in found.boxes.tolist():
        box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        prompt = Prompt(None, box, (), None)
        answer = segmenter.answer(key, prompt)
        is_sure = answer.iou[0] > least_iou and stability(answer.logits[0]) >= least_stability
        if not is_sure:
            continue
        drawn = segmenter.draw(key, answer, 0, is_preview=False)
        if measure_counts(drawn.counts, drawn.size).area:
            rle = Rle(size=list(drawn.size), counts=drawn.counts)
            proposed.append(ProposedMask(rle, prompt, drawn.predicted_iou))
    return _drop_doubles(proposed, [])


def stability(logits: Float[np.ndarray, "h w"]) -> float:
    """IoU of a mask at two thresholds, 1 above and 1 below 0; 0 for a mask that is empty at both."""
    inner, outer = (
        int(np.count_nonzero(logits > limit)) for limit in (_STABILITY_OFFSET, -_STABILITY_OFFSET)
    )
    return inner / outer if outer else 0.0


def prefill(
    database: Database,
    folder: Path,
    segmenter: Segmenter,
    detector: Detector,
    model_id: int | None,
    config: PrefillConfig,
    show: Callable[[int, int], None],
) -> Prefilled:
    """Pre-fill the photos that nobody has finished or is at work on, but for those whose automatic masks are checked.

    Pre-filled masks that nobody has looked at make way for new ones. Where a photo has a mask already, or one that was
    rejected or removed there, no other is added.

    Args:
        database: Database of the masks.
        folder: Folder of the photos.
        segmenter: Model that answers the boxes.
        detector: Detector on that model's embeddings.
        model_id: Number of the model in the database.
        config: Which objects become masks.
        show: Shows how many photos are done, of how many.

    Raises:
        DatabaseError: The database cannot take the masks.
    """
    with database.reading() as connection:
        rows = connection.execute(
            select(photos.c.id, photos.c.path).where(is_free(), ~is_checked()).order_by(photos.c.id)
        ).all()
    photo_count = mask_count = 0
    problems: list[str] = []
    for done, (number, path) in enumerate(rows, start=1):
        try:
            about = inspect_file(folder / path)
            pixels = read_image(folder / path)
            key = f"{number}-{about.file_size}-{about.modified_ns}"
            segmenter.embed(key, pixels)
            proposed = propose_masks(segmenter, detector, key, config)
        except InputError as error:
            problems.append(str(error))
            continue
        finally:
            show(done, len(rows))
        version = {"height": pixels.shape[0], "width": pixels.shape[1], **about._asdict()}
        with database.writing() as connection:
            stored = store_proposed(connection, number, version, proposed, model_id)
        photo_count += stored > 0
        mask_count += stored
    return Prefilled(photo_count, mask_count, problems)


def share_prefilled(
    segmenter: Segmenter,
    detector: Detector,
    source: Source,
    config: PrefillConfig | None = None,
    least_iou: float = CORRECT_IOU,
) -> PrefilledShare:
    """Which share of the true objects of photos would be pre-filled correctly.

    Args:
        segmenter: Model that answers the boxes.
        detector: Detector on that model's embeddings.
        source: Photos with their true masks; those that cannot be read are passed over.
        config: Which objects become masks; None for the defaults.
        least_iou: IoU with the truth from which a mask is right.
    """
    objects = proposals = correct = 0
    for index in range(len(source)):
        try:
            example = source[index]
        except RecordError:
            continue
        key = f"share-{index}-{example.name}"
        segmenter.embed(key, example.image)
        proposed = propose_masks(segmenter, detector, key, config or PrefillConfig())
        truth = [
            encode_runs(runs)
            for k in range(len(example.masks))
            if (runs := mask_runs(example.masks, k)).area
        ]
        objects += len(truth)
        proposals += len(proposed)
        correct += count_correct([mask.rle for mask in proposed], truth, least_iou)
    return PrefilledShare(objects, proposals, correct)


def count_correct(proposed: Sequence[Rle], truth: Sequence[Rle], least_iou: float) -> int:
    """Number of true masks that a proposed one of its own meets.

    Args:
        proposed: Proposed masks, the surest first.
        truth: True masks.
        least_iou: IoU from which a mask is right.
    """
    ious = rle_ious(proposed, truth)
    taken: set[int] = set()
    for of_one in ious:
        for index in np.argsort(-of_one, kind="stable").tolist():
            if of_one[index] < least_iou:
                break
            if index not in taken:
                taken.add(index)
                break
    return len(taken)


def store_proposed(
    connection: Connection,
    photo_id: int,
    version: dict[str, Any],
    proposed: Sequence[ProposedMask],
    model_id: int | None,
) -> int:
    """Put masks in the place of those of a photo that wait, unless somebody has finished it or is at work on it.

    Args:
        connection: Transaction that writes.
        photo_id: Number of the photo.
        version: Columns of the table of photos for its size and version.
        proposed: Masks, the surest first.
        model_id: Number of the model in the database.

    Returns:
        Number of masks that the photo has got.
    """
    is_photo = photos.c.id == photo_id
    taken = connection.execute(
        update(photos).where(is_photo, is_free(), ~is_checked()).values(**version)
    )
    if not taken.rowcount:
        return 0
    of_photo = masks.c.photo_id == photo_id
    connection.execute(delete(masks).where(of_photo, masks.c.state == MaskState.PREFILLED))
    rows = connection.execute(
        select(masks.c.counts, masks.c.state, masks.c.verdict).where(of_photo)
    ).all()
    size = [version["height"], version["width"]]
    there = [
        Rle(size=size, counts=row.counts)
        for row in rows
        if row.counts is not None
        and (
            row.state in (MaskState.DONE, MaskState.DRAFT, MaskState.SKIPPED)
            or row.verdict == Verdict.REJECTED
        )
    ]
    fresh = _drop_doubles(proposed, there)
    now = time.time()
    if fresh:
        connection.execute(
            insert(masks),
            [_to_row(mask, photo_id, model_id, now + 1e-6 * k) for k, mask in enumerate(fresh)],
        )
    return len(fresh)


def _drop_doubles(proposed: Sequence[ProposedMask], there: Sequence[Rle]) -> list[ProposedMask]:
    """The masks that are neither there already nor a surer one's double."""
    rles = [mask.rle for mask in proposed]
    is_there = (rle_ious(rles, there) >= _SAME_IOU).any(axis=1)
    is_same = rle_ious(rles, rles) >= _SAME_IOU
    kept: list[int] = []
    for index in np.flatnonzero(~is_there).tolist():
        if not is_same[index, kept].any():
            kept.append(index)
    return [proposed[index] for index in kept]


def _to_row(mask: ProposedMask, photo_id: int, model_id: int | None, now: float) -> dict[str, Any]:
    height, width = mask.rle["size"]
    return make_model_mask(
        str(mask.rle["counts"]),
        (height, width),
        photo_id=photo_id,
        stage=Stage.SEMI_AUTOMATIC,
        state=MaskState.PREFILLED,
        prompt=mask.prompt,
        predicted_iou=mask.predicted_iou,
        model_id=model_id,
        at=now,
    )
