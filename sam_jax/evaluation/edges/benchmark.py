"""The Berkeley benchmark of edges: precision and recall at 99 thresholds, and ODS, OIS, AP and R50 from them.

Protocol of Arbelaez, Maire, Fowlkes and Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 33(5),
2011. A soft edge map is cut at each threshold, thinned, and matched with every annotator's edges in turn. A detected
pixel is correct if at least one annotator has it, so precision counts the union over annotators; recall counts every
annotator's pixels for themselves, so an edge on which all agree weighs more than one that only one of them drew.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from sam_jax.evaluation.edges.matching import (
    BENCHMARK_DISTANCE,
    AnnotatedEdges,
    match_annotators,
    prepare_truth,
)
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.tables import Table
from sam_jax.types import InputError

THRESHOLDS = 99
"""Number of thresholds, k / 100 each; an edge is where the strength is at least the threshold."""

BETWEEN = 100
"""Points from one threshold to the next at which the F-measure is interpolated, both ends included."""

COUNTS = ("cntR", "sumR", "cntP", "sumP")
"""Keys of an image's record, named as in the benchmark's own files; see `count_matches`."""


class EdgeScores(NamedTuple):
    """Measures of one method on a data set.

    Attributes:
        ods: Best F-measure with one threshold for all images (ODS), interpolated between thresholds.
        ods_threshold: The threshold of the ODS.
        ois: F-measure with the best threshold of each image (OIS).
        ap: Precision averaged over recall 0, 0.01, ..., 1, with zero for recall outside of the curve. As in the
            benchmark, the sum of these 101 values is divided by 100, and a curve with a single recall has AP 0.
        r50: Recall where precision is one half. Where precision is always higher, the recall at the lowest precision;
            where it is always lower, 0.
        recall: Recall at each threshold.
        precision: Precision at each threshold; 0 where nothing was detected.
        images: Number of images.
    """

    ods: float
    ods_threshold: float
    ois: float
    ap: float
    r50: float
    recall: Float[np.ndarray, " t"]
    precision: Float[np.ndarray, " t"]
    images: int


def count_matches(
    edges: Float[np.ndarray, "h w"],
    boundaries: Bool[np.ndarray, "a truth_h truth_w"],
    *,
    thresholds: int = THRESHOLDS,
    max_distance: float = BENCHMARK_DISTANCE,
) -> ImageRecord:
    """Match the edges of one image with the truth, and count matched pixels at each threshold.

    Args:
        edges: Strengths of edges, from 0 to 1.
        boundaries: Thin edges drawn by each annotator.
        thresholds: Number of thresholds; the k-th is k / (thresholds + 1).
        max_distance: Largest distance between matched pixels, as a share of the image's diagonal.

    Returns:
        Four counts for each threshold. `cntR`: pixels of truth that were found, summed over annotators; `sumR`: all
        pixels of truth, likewise; `cntP`: detected pixels that some annotator has; `sumP`: all detected pixels.

    Raises:
        InputError: Strengths are outside of 0 to 1, there is no annotator, or the truth has another size.
    """
    from skimage.morphology import thin

    if len(boundaries) == 0:
        raise InputError("no annotator has drawn edges of this image: leave it out")
    if boundaries.shape[1:] != edges.shape:
        raise InputError(
            f"the truth is {boundaries.shape[2]} wide and {boundaries.shape[1]} high, "
            f"but the edges are {edges.shape[1]} wide and {edges.shape[0]} high"
        )
    if not ((edges >= 0) & (edges <= 1)).all():
        raise InputError("edge strengths are from 0 to 1: normalise them")
    record: ImageRecord = {name: [] for name in COUNTS}
    truth = prepare_truth(boundaries, max_distance)
    last, counts = None, (0, 0, 0, 0)
    for threshold in np.arange(1, thresholds + 1) / (thresholds + 1):
        strong = edges >= threshold
        if last is None or not np.array_equal(strong, last):
            last, counts = strong, _count(thin(strong), truth)
        for name, count in zip(COUNTS, counts, strict=True):
            record[name].append(count)
    return record


def score_edges(records: Sequence[ImageRecord]) -> EdgeScores:
    """Measures over all images together.

    Args:
        records: Records of `count_matches`, all with the same number of thresholds.

    Raises:
        InputError: There are no records, or some have other thresholds.
    """
    if not records:
        raise InputError("no image was measured: nothing to summarise")
    if len({len(record[name]) for record in records for name in COUNTS}) > 1:
        raise InputError("images were measured at different thresholds: measure all anew")
    counts = np.array([[record[name] for name in COUNTS] for record in records], np.float64)
    of_images = _f_measure(*_recall_and_precision(counts))
    best = counts[np.arange(len(counts)), :, np.argmax(of_images, axis=1)]
    recall, precision = _recall_and_precision(counts.sum(axis=0))
    ods, threshold = _best_f(recall, precision)
    return EdgeScores(
        ods=ods,
        ods_threshold=threshold,
        ois=float(_f_measure(*_recall_and_precision(best.sum(axis=0)[:, None]))[0]),
        ap=_average_precision(recall, precision),
        r50=_recall_at_half(recall, precision),
        recall=recall,
        precision=precision,
        images=len(records),
    )


def tabulate_edges(scores: dict[str, EdgeScores], data: str) -> Table:
    """A table with a row of measures for each method, in the order given.

    Args:
        scores: Measures by the method's name.
        data: Name of the data set.
    """
    rows = [(name, s.ods, s.ois, s.ap, s.r50, s.images) for name, s in scores.items()]
    return Table(f"Edges, {data}", ("method", "ODS", "OIS", "AP", "R50", "images"), tuple(rows))


def _count(detected: Bool[np.ndarray, "h w"], truth: AnnotatedEdges) -> tuple[int, int, int, int]:
    """The counts at one threshold, in the order of `COUNTS`."""
    matchings = match_annotators(detected, truth)
    correct = np.any([matching.detected for matching in matchings], axis=0)
    return (
        sum(int(np.count_nonzero(matching.truth)) for matching in matchings),
        int(np.count_nonzero(truth.edges)),
        int(np.count_nonzero(correct)),
        int(np.count_nonzero(detected)),
    )


def _recall_and_precision(
    counts: Float[np.ndarray, "*images 4 t"],
) -> tuple[Float[np.ndarray, "*images t"], Float[np.ndarray, "*images t"]]:
    """Recall and precision from counts; zero where there is nothing to find, or nothing was found."""
    found, truth, correct, detected = np.moveaxis(counts, -2, 0)
    return found / np.maximum(truth, 1), correct / np.maximum(detected, 1)


def _f_measure(
    recall: Float[np.ndarray, "*shape"], precision: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    total = recall + precision
    return 2 * recall * precision / np.where(total == 0, 1, total)


def _best_f(
    recall: Float[np.ndarray, " t"], precision: Float[np.ndarray, " t"]
) -> tuple[float, float]:
    """The best F-measure on the lines between neighbouring thresholds, and its threshold; of equal ones the first."""
    steps = np.arange(1, len(recall) + 1)
    at = np.linspace(1, len(recall), (len(recall) - 1) * (BETWEEN - 1) + 1)
    f = _f_measure(np.interp(at, steps, recall), np.interp(at, steps, precision))
    best = int(np.argmax(f))
    return float(f[best]), float(at[best] / (len(recall) + 1))


def _average_precision(
    recall: Float[np.ndarray, " t"], precision: Float[np.ndarray, " t"]
) -> float:
    ascending, first = np.unique(recall, return_index=True)
    if len(ascending) < 2:
        return 0.0
    at = np.arange(101) / 100
    return float(np.interp(at, ascending, precision[first], left=0, right=0).sum() / 100)


def _recall_at_half(recall: Float[np.ndarray, " t"], precision: Float[np.ndarray, " t"]) -> float:
    """R50, without the thresholds at which next to nothing is found, where precision is chance."""
    is_known = recall >= 1e-3
    if not is_known.any():
        return 0.0
    ascending, first = np.unique(precision[is_known], return_index=True)
    at = max(0.5, ascending[0])
    return float(np.interp(at, ascending, recall[is_known][first], right=0))
