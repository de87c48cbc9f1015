"""Precision and recall of edge detectors as a picture."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from sam_jax.evaluation.edges.benchmark import EdgeScores

SIDE = 400.0
MARGIN = 50.0
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which people with any colour vision can tell apart; used again after the last."""

ISO_F = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def draw_curves(scores: Mapping[str, EdgeScores]) -> str:
    """Precision over recall of each method as an SVG file, with lines of equal F and a dot at each method's ODS.

    Thresholds at which nothing is detected have no precision, and are left out.

    Args:
        scores: by the method's name; methods are listed by ODS, the best first.
    """
    parts = [_axes()]
    ranked = sorted(scores.items(), key=lambda item: -item[1].ods)
    for number, (name, score) in enumerate(ranked):
        colour = COLOURS[number % len(COLOURS)]
        is_known = score.precision > 0
        curve = np.stack([score.recall[is_known], score.precision[is_known]], axis=1)
        parts.append(_line(curve.tolist(), colour, width=2))
        parts += [_dot(*_at_threshold(score), colour)] if is_known.any() else []
        x, y = MARGIN + 12, MARGIN + SIDE - 12 - 18 * (len(ranked) - 1 - number)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="12" height="4" fill="{colour}"/>')
        parts.append(_text(x + 18, y, f"[F={score.ods:.3f}] {name}"))
    size = int(SIDE + 2 * MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def _at_threshold(score: EdgeScores) -> tuple[float, float]:
    """Recall and precision at the ODS."""
    count = len(score.recall)
    steps, at = np.arange(1, count + 1), score.ods_threshold * (count + 1)
    recall, precision = (np.interp(at, steps, x) for x in (score.recall, score.precision))
    return float(recall), float(precision)


def _axes() -> str:
    parts = [
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" stroke="black"/>',
        _text(MARGIN + SIDE / 2, MARGIN + SIDE + 36, "Recall", anchor="middle"),
        f'<g transform="rotate(-90 14 {MARGIN + SIDE / 2})">'
        + _text(14.0, MARGIN + SIDE / 2, "Precision", anchor="middle")
        + "</g>",
    ]
    for f in ISO_F:
        recall = np.linspace(f / (2 - f), 1, 50)
        precision = f * recall / (2 * recall - f)
        parts.append(_line(np.stack([recall, precision], axis=1).tolist(), "#bbddbb", width=1))
        x, y = _place(1.0, f / (2 - f))
        parts.append(_text(x + 4, y + 4, f"F={f:.1f}", colour="#559955"))
    for tick in np.arange(0, 11, 2) / 10:
        x, y = _place(tick, tick)
        parts.append(_text(x, MARGIN + SIDE + 16, f"{tick:.1f}", anchor="middle"))
        parts.append(_text(MARGIN - 6, y + 4, f"{tick:.1f}", anchor="end"))
    return "".join(parts)


def _place(recall: float, precision: float) -> tuple[float, float]:
    return MARGIN + SIDE * recall, MARGIN + SIDE * (1 - precision)


def _line(curve: Sequence[Sequence[float]], colour: str, width: int) -> str:
    points = " ".join("{:.1f},{:.1f}".format(*_place(*point)) for point in curve)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _dot(recall: float, precision: float, colour: str) -> str:
    x, y = _place(recall, precision)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "black") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(words)}</text>"
    )
