"""Precision and recall of edge detectors as a plot."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sam_jax.evaluation.edges.benchmark import EdgeScores
from sam_jax.evaluation.plots import COLOURS, new_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ISO_F = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""F-measures of the lines of equal F."""


def plot_precision_recall(scores: Mapping[str, EdgeScores]) -> "Figure":
    """A plot of precision over recall of each method, with lines of equal F and a dot at each method's ODS.

    Thresholds at which nothing is detected have no precision, and are left out.

    Args:
        scores: Measures by the method's name; methods are listed by ODS, the best first.
    """
    figure, axes = new_plot(6.0, 6.0)
    for f in ISO_F:
        recall = np.linspace(f / (2 - f), 1, 50)
        axes.plot(recall, f * recall / (2 * recall - f), color="#bbddbb", linewidth=1)
        axes.annotate(
            f"F={f:.1f}",
            (1, f / (2 - f)),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color="#559955",
            fontsize=8,
            annotation_clip=False,
        )
    ranked = sorted(scores.items(), key=lambda item: -item[1].ods)
    for place, (name, score) in enumerate(ranked):
        colour = COLOURS[place % len(COLOURS)]
        is_known = score.precision > 0
        axes.plot(
            score.recall[is_known],
            score.precision[is_known],
            color=colour,
            linewidth=2,
            label=f"[F={score.ods:.3f}] {name}",
        )
        if is_known.any():
            axes.plot(*_at_ods(score), "o", color=colour)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision", aspect="equal")
    axes.legend(loc="lower left", framealpha=0.9)
    return figure


def _at_ods(score: EdgeScores) -> tuple[float, float]:
    """Recall and precision at the threshold of the ODS."""
    count = len(score.recall)
    steps, at = np.arange(1, count + 1), score.ods_threshold * (count + 1)
    recall, precision = (np.interp(at, steps, x) for x in (score.recall, score.precision))
    return float(recall), float(precision)
