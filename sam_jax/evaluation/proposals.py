"""Object proposals: how many of an image's objects are among the masks of everything (SAM, section 7.3, appendix D.3).

Average recall (AR), as pycocotools computes it without regard to categories: proposals, best first, each take the mask
that they overlap most and that is still free, if the IoU reaches a threshold; recall is the share of masks taken, and
AR its mean over thresholds from 0.5 to 0.95. For a group of masks (by size, by frequency) the others don't count, and
can't be taken.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from sam_jax.data.example import Example, mask_runs
from sam_jax.data.pixel_runs import Runs, find_label_runs
from sam_jax.evaluation.classical import FELZENSZWALB_SCALES
from sam_jax.evaluation.coco_truth import FREQUENCIES, ObjectTruth
from sam_jax.evaluation.results import Table
from sam_jax.evaluation.runs import Record
from sam_jax.inference import SamAutomaticMaskGenerator
from sam_jax.inference.automatic import Record as FoundMask
from sam_jax.models import Model
from sam_jax.ops.rle import Rle, compress_counts
from sam_jax.types import InputError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
LIMITS = (10, 100, 1000)
"""Numbers of proposals that AR is given for."""

SIZES = {
    "all": (0.0, math.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, math.inf),
}
"""Areas in pixels, both ends included as in COCO."""

GROUPS = (*SIZES, *FREQUENCIES.values())


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """How `SamAutomaticMaskGenerator` is asked for proposals: the paper's setting, which keeps all masks up to `most`.

    Attributes:
        points_per_side: of the grid of points.
        points_per_batch: decoded at once: more need more memory.
        box_nms_thresh: of two masks whose boxes' IoU is above it, one goes.
        pred_iou_thresh: masks of which the model expects no more go; 0 for none.
        stability_score_thresh: masks less stable than this go; 0 for none.
        multimask_output: three masks a point, or one.
        most: proposals kept, by the mean of predicted IoU and stability.
    """

    points_per_side: int = 64
    points_per_batch: int = 64
    box_nms_thresh: float = 0.9
    pred_iou_thresh: float = 0.0
    stability_score_thresh: float = 0.0
    multimask_output: bool = True
    most: int = LIMITS[-1]

    def __post_init__(self) -> None:
        if self.most < 1:
            raise InputError(f"most is at least 1, not {self.most}")


class Proposals(NamedTuple):
    """Masks of what may be objects.

    Attributes:
        rles: the masks, best first, with counts as COCO's strings.
        scores: descending.
    """

    rles: list[Rle]
    scores: Float[np.ndarray, " n"]


Proposer = Callable[[UInt8[np.ndarray, "h w 3"]], Proposals]
"""What is measured: from a photo to proposals."""


def sam_proposer(model: Model, config: ProposalConfig) -> Proposer:
    """Segment Anything as a maker of proposals.

    Raises:
        InputError: the configuration contradicts itself.
    """
    generator = SamAutomaticMaskGenerator(
        model,
        points_per_side=config.points_per_side,
        points_per_batch=config.points_per_batch,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        box_nms_thresh=config.box_nms_thresh,
        output_mode="coco_rle",
        multimask_output=config.multimask_output,
    )

    def propose(image: UInt8[np.ndarray, "h w 3"]) -> Proposals:
        return rank_masks(generator.generate(image), config.most)

    return propose


def rank_masks(masks: Iterable[FoundMask], most: int) -> Proposals:
    """The best of a generator's masks by the mean of predicted IoU and stability; empty masks propose nothing.

    Args:
        masks: with run-length encodings (`output_mode="coco_rle"`).
        most: to keep.
    """
    found = [mask for mask in masks if mask["area"] > 0]
    scores = np.array([(mask["predicted_iou"] + mask["stability_score"]) / 2 for mask in found])
    best = np.argsort(-scores, kind="stable")[:most]
    rles: list[Any] = [found[i]["segmentation"] for i in best]
    return Proposals(rles, scores[best])


def felzenszwalb_proposals(image: UInt8[np.ndarray, "h w 3"]) -> Proposals:
    """Segments of Felzenszwalb and Huttenlocher's graph-based segmentation: a method without learning to compare with.

    Those of three scales together, the largest first since nothing else tells them apart.
    """
    from skimage.segmentation import felzenszwalb

    found: set[tuple[int, str]] = set()
    for scale in FELZENSZWALB_SCALES:
        segments = find_label_runs(felzenszwalb(image, scale=scale, sigma=0.8, min_size=50) + 1)
        for label in np.unique(segments.labels).tolist():
            runs = segments.of(label)
            found.add((runs.area, str(_encode(runs)["counts"])))
    best = sorted(found, reverse=True)[: LIMITS[-1]]
    size = [image.shape[0], image.shape[1]]
    return Proposals(
        [Rle(size=size, counts=counts) for _, counts in best],
        np.array([float(area) for area, _ in best]),
    )


def measure_image(
    proposer: Proposer, example: Example, objects: Sequence[ObjectTruth] | None = None
) -> Record:
    """Propose masks for an image, and count which of the truth's masks they find.

    Args:
        proposer: to measure.
        example: photo and truth.
        objects: of each mask of the truth; the default knows no frequencies and counts pixels for areas.

    Returns:
        For each group of masks their number, and how many of them are found at each limit and threshold; and the first
        proposals, twice as many as the truth has masks, to look at.

    Raises:
        InputError: truth or proposals have another size than the photo, or `objects` belongs to other masks.
    """
    size = (example.image.shape[0], example.image.shape[1])
    truths = [mask_runs(example.masks, index) for index in range(len(example.masks))]
    if objects is None:
        objects = [ObjectTruth(None, None)] * len(truths)
    if len(objects) != len(truths):
        raise InputError(
            f"{example.name} has {len(truths)} masks, but areas or frequencies for {len(objects)}: "
            "read both from the same file"
        )
    for runs in truths:
        if runs.size != size:
            raise InputError(
                f"{example.name}: a mask is {runs.size[1]} wide and {runs.size[0]} high, "
                f"but the photo is {size[1]} wide and {size[0]} high"
            )
    proposals = proposer(example.image)
    if any(tuple(rle["size"]) != size for rle in proposals.rles):
        raise InputError(f"{example.name}: a proposal has another size than the photo")
    areas = [
        float(runs.area) if known.area is None else known.area
        for runs, known in zip(truths, objects, strict=True)
    ]
    ious = mask_ious(proposals.rles, [_encode(runs) for runs in truths])
    groups = {}
    for group in GROUPS:
        members = _members(group, areas, [known.frequency for known in objects])
        ranks = match_proposals(ious, members)
        found = {
            str(limit): [int(np.count_nonzero(some < limit)) for some in ranks] for limit in LIMITS
        }
        groups[group] = {"masks": int(members.sum()), "found": found}
    return {
        "name": example.name,
        "proposals": len(proposals.rles),
        "first": proposals.rles[: 2 * len(truths)],
        "groups": groups,
    }


def mask_ious(ones: Sequence[Rle], others: Sequence[Rle]) -> Float[np.ndarray, "n k"]:
    """IoU of every mask with every other one, without drawing them."""
    from pycocotools import mask as coco_mask

    if not ones or not others:
        return np.zeros((len(ones), len(others)))
    first: Any = list(ones)
    second: Any = list(others)
    return np.asarray(coco_mask.iou(first, second, [0] * len(others)))


def match_proposals(
    ious: Float[np.ndarray, "n k"], members: Bool[np.ndarray, " k"]
) -> list[Int[np.ndarray, " _found"]]:
    """Match proposals with masks one to one, greedily, the best proposal first, as pycocotools' `evaluateImg` does.

    What a proposal gets doesn't depend on those after it, so one matching serves every limit of their number.

    Args:
        ious: of proposals, best first, with the masks of the truth.
        members: which masks can be matched.

    Returns:
        For each of `THRESHOLDS` the ranks, from 0, of the proposals that found a mask.
    """
    # Of equal IoUs pycocotools takes the last.
    candidates = []
    for rank in np.flatnonzero((ious >= THRESHOLDS[0]).any(axis=1)).tolist():
        near = np.flatnonzero((ious[rank] >= THRESHOLDS[0]) & members)[::-1]
        order = near[np.argsort(-ious[rank, near], kind="stable")]
        candidates.append(
            (rank, list(zip(order.tolist(), ious[rank, order].tolist(), strict=True)))
        )
    ranks = []
    for threshold in THRESHOLDS.tolist():
        taken: set[int] = set()
        found = []
        for rank, choices in candidates:
            best = next(((mask, iou) for mask, iou in choices if mask not in taken), None)
            if best is not None and best[1] >= threshold:
                taken.add(best[0])
                found.append(rank)
        ranks.append(np.array(found, np.int64))
    return ranks


def average_recall(records: Sequence[Record], limit: int, group: str = "all") -> float | None:
    """AR over images: all their masks together.

    Args:
        records: of `measure_image`, in any order.
        limit: number of proposals, one of `LIMITS`.
        group: one of `GROUPS`.

    Returns:
        From 0 to 1; None if there are no masks of this group.
    """
    counts = [record["groups"][group] for record in records]
    masks = sum(count["masks"] for count in counts)
    if masks == 0:
        return None
    found = np.sum([count["found"][str(limit)] for count in counts], axis=0)
    return float(np.mean(found / masks))


def summarise(results: Mapping[str, Sequence[Record]]) -> Table:
    """AR at 10, 100 and 1000 proposals; at 1000 also by size and, where it is known, by frequency.

    Args:
        results: records of `measure_image`, in any order, by the name of what was measured.
    """
    last = LIMITS[-1]
    columns = ("method", "images", "masks", *(f"AR@{limit}" for limit in LIMITS), *GROUPS[1:])
    rows = []
    for name, records in results.items():
        masks = sum(record["groups"]["all"]["masks"] for record in records)
        by_limit = (average_recall(records, limit) for limit in LIMITS)
        by_group = (average_recall(records, last, group) for group in GROUPS[1:])
        rows.append((name, len(records), masks, *by_limit, *by_group))
    return Table(f"Object proposals, average recall (groups: AR@{last})", columns, tuple(rows))


def _members(
    group: str, areas: Sequence[float], frequencies: Sequence[str | None]
) -> Bool[np.ndarray, " k"]:
    if group in SIZES:
        low, high = SIZES[group]
        return np.array([low <= area <= high for area in areas], bool)
    names = [FREQUENCIES[frequency] if frequency else None for frequency in frequencies]
    return np.array([name == group for name in names], bool)


def _encode(runs: Runs) -> Rle:
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    counts = np.diff(edges, prepend=0, append=runs.size[0] * runs.size[1])
    return Rle(size=list(runs.size), counts=compress_counts(counts.tolist()))
