"""Object proposals: how many of an image's objects are among the masks of everything (SAM, section 7.3, appendix D.3).

Average recall (AR), as pycocotools computes it without regard to categories: proposals, best first, each take the mask
that they overlap most and that is still free, if the IoU reaches a threshold; recall is the share of masks taken, and
AR its mean over thresholds from 0.5 to 0.95. For a group of masks (by size, by frequency) the others don't count, and
can't be taken.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from sam_jax.data.example import Example, mask_runs
from sam_jax.evaluation.coco_truth import FREQUENCIES, ObjectTruth
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.evaluation.proposals.proposers import MOST, RankedMasks, encode_runs
from sam_jax.evaluation.tables import Table
from sam_jax.types import InputError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoUs that a proposal must reach to find a mask."""

LIMITS = (10, 100, MOST)
"""Numbers of proposals that AR is given for."""

SIZES = {
    "all": (0.0, math.inf),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, math.inf),
}
"""Range of areas in pixels of each group by size; both ends are included, as in COCO."""

GROUPS = (*SIZES, *FREQUENCIES.values())
"""Names of all groups of masks, by size and by frequency."""


def count_found(
    proposals: RankedMasks, example: Example, objects: Sequence[ObjectTruth] | None = None
) -> ImageRecord:
    """Count which of the truth's masks an image's proposals find.

    Args:
        proposals: Proposals for the image.
        example: Photo and truth.
        objects: What is known of each mask of the truth; None if frequencies are unknown and areas are to be counted.

    Returns:
        The record: `name`; `proposals`, their number; `groups`, with for each group of masks their number and how many
        of them are found at each limit and threshold; and `first`, the first proposals, twice as many as the truth has
        masks, to look at.

    Raises:
        InputError: Truth or proposals have another size than the photo, or `objects` belongs to other masks.
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
    if any(tuple(rle["size"]) != size for rle in proposals.rles):
        raise InputError(f"{example.name}: a proposal has another size than the photo")
    areas = [
        float(runs.area) if known.area is None else known.area
        for runs, known in zip(truths, objects, strict=True)
    ]
    ious = rle_ious(proposals.rles, [encode_runs(runs) for runs in truths])
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


def match_proposals(
    ious: Float[np.ndarray, "n k"], members: Bool[np.ndarray, " k"]
) -> list[Int[np.ndarray, " _found"]]:
    """Match proposals with masks one to one, greedily, the best proposal first, as pycocotools' `evaluateImg` does.

    What a proposal gets doesn't depend on those after it, so one matching serves every limit of their number.

    Args:
        ious: IoU of each proposal, best first, with each mask of the truth.
        members: Which masks can be matched.

    Returns:
        The ranks, from 0, of the proposals that found a mask, for each of `THRESHOLDS`.
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


def average_recall(records: Sequence[ImageRecord], limit: int, group: str = "all") -> float | None:
    """AR over all masks of all images.

    Args:
        records: Records of `count_found`, in any order.
        limit: Number of proposals of an image that count, one of `LIMITS`.
        group: Group of masks that count, one of `GROUPS`.

    Returns:
        The AR from 0 to 1; None if there are no masks of this group.
    """
    counts = [record["groups"][group] for record in records]
    masks = sum(count["masks"] for count in counts)
    if masks == 0:
        return None
    found = np.sum([count["found"][str(limit)] for count in counts], axis=0)
    return float(np.mean(found / masks))


def tabulate_recall(results: Mapping[str, Sequence[ImageRecord]]) -> Table:
    """A table of AR at 10, 100 and 1000 proposals; at 1000 also by size and, where it is known, by frequency.

    Args:
        results: Records of `count_found`, in any order, by the label of their row.
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
