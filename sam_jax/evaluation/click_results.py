"""What the records of clicked objects say: tables, and the curve of clicks against mIoU."""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sam_jax.evaluation.interactive import InteractiveConfig, Picker, count_clicks
from sam_jax.evaluation.results import Cell, Table
from sam_jax.evaluation.runs import Record

ROW = "method, data set"

PANEL = (520.0, 340.0)
"""Width and height of the curve's panel."""
MARGIN = (56.0, 40.0, 250.0, 48.0)
"""Left, above, right (for the names), below."""
LINE_HEIGHT = 20.0
GOLDEN_ANGLE = 137.5
"""In degrees: colours of any number of methods stay apart."""


class Measured(NamedTuple):
    """One method on one data set.

    Attributes:
        method: its name.
        data: the data set's.
        records: of `measure_image`, for any of its images in any order.
    """

    method: str
    data: str
    records: Sequence[Record]


class _Row(NamedTuple):
    """What one row of a table is the mean of: the masks of one data set, or several data sets."""

    label: str
    parts: list[list[dict[str, Any]]]
    images: int


def mean_curve(records: Sequence[Record], picker: Picker, clicks: int) -> list[float]:
    """The mIoU after 1, 2, ... clicks, the mean over all masks; empty if there are none.

    A session that ended early, because nothing was left to click, stays at its last IoU.
    """
    return _mean_curve(_masks_of(records), picker, clicks)


def summarise(results: Sequence[Measured], config: InteractiveConfig) -> list[Table]:
    """Tables of all that was measured.

    A method with several data sets gets a row for their mean, which counts each of them the same (appendix D.1).

    Args:
        results: each method on each data set.
        config: that it was measured with.

    Returns:
        mIoU by number of clicks of the trusted mask; the same of the oracle's; and number of clicks to reach each IoU
        (NoC) with the share of masks that don't in `noc_limit` clicks, and count as `noc_limit`.
    """
    rows = list(_make_rows(results))
    numbers = range(1, config.clicks + 1)
    columns = (ROW, "images", "masks", *(f"{n} click{'s' * (n > 1)}" for n in numbers))
    first = f"first click {'at the centre' if config.first == 'centre' else 'at random'}"
    tables = [
        Table(
            f"mIoU of {what} by number of clicks, {first}",
            columns,
            tuple(_curve_row(row, picker, config.clicks) for row in rows),
        )
        for picker, what in (
            (Picker.TRUSTED, "the most confident mask"),
            (Picker.ORACLE, "the mask nearest to the truth (oracle)"),
        )
    ]
    if config.noc_thresholds:
        tables.append(_tabulate_clicks(rows, config, first))
    return tables


def draw_curve(results: Sequence[Measured], config: InteractiveConfig) -> str:
    """Clicks against mIoU as SVG: a line for each method and data set, the oracle's dashed."""
    lines = [
        (f"{one.method}, {one.data}", curves)
        for one in results
        if all(curves := [mean_curve(one.records, picker, config.clicks) for picker in Picker])
    ]
    left, above, right, below = MARGIN
    width = left + PANEL[0] + right
    height = above + max(PANEL[1], LINE_HEIGHT * (len(lines) + 2)) + below

    def place(click: int, iou: float) -> tuple[float, float]:
        share = (click - 1) / max(config.clicks - 1, 1)
        return left + PANEL[0] * share, above + PANEL[1] * (1 - iou)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
        _text(left, above - 16, f"mIoU by number of clicks, first click: {config.first}"),
    ]
    for tenth in range(0, 11, 2):
        x, y = place(1, tenth / 10)
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{PANEL[0]:g}" stroke="#ddd"/>')
        parts.append(_text(x - 8, y + 4, f"{tenth / 10:.1f}", anchor="end"))
    for click in range(1, config.clicks + 1):
        x, y = place(click, 0.0)
        parts.append(_text(x, y + 18, str(click), anchor="middle"))
    parts.append(_text(left + PANEL[0] / 2, above + PANEL[1] + 38, "clicks", anchor="middle"))
    names_at = left + PANEL[0] + 24
    for number, (name, curves) in enumerate(lines):
        colour = f"hsl({number * GOLDEN_ANGLE % 360:.0f} 65% 42%)"
        for curve, dashes in zip(curves, ("", ' stroke-dasharray="5 4"'), strict=True):
            points = [place(click, iou) for click, iou in enumerate(curve, 1)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            stroke = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
            parts.append(f'<polyline points="{path}" {stroke}/>')
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points
            ]
        y = above + LINE_HEIGHT * number + 8
        parts.append(f'<path d="M{names_at:g} {y - 4:g}h20" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(names_at + 26, y, name))
    note = "solid: most confident; dashed: oracle"
    parts.append(_text(names_at, above + LINE_HEIGHT * (len(lines) + 1), note))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _masks_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [mask for record in records for mask in record["masks"]]


def _mean(values: Sequence[float]) -> float:
    """Exactly rounded, so that it doesn't depend on the order."""
    return math.fsum(values) / len(values)


def _mean_curve(masks: list[dict[str, Any]], picker: Picker, clicks: int) -> list[float]:
    if not masks:
        return []
    curves = [mask[picker.value] for mask in masks]
    return [
        _mean([curve[min(n, len(curve)) - 1] for curve in curves]) for n in range(1, clicks + 1)
    ]


def _make_rows(results: Sequence[Measured]) -> Iterator[_Row]:
    """One for each method and data set, and one for each method with several data sets."""
    for method in dict.fromkeys(one.method for one in results):
        parts, images = [], 0
        for one in results:
            if one.method == method:
                masks = _masks_of(one.records)
                count = sum(bool(record["masks"]) for record in one.records)
                yield _Row(f"{method}, {one.data}", [masks], count)
                parts += [masks] if masks else []
                images += count
        if len(parts) > 1:
            yield _Row(f"{method}, mean of {len(parts)} data sets", parts, images)


def _curve_row(row: _Row, picker: Picker, clicks: int) -> tuple[Cell, ...]:
    curves = [curve for masks in row.parts if (curve := _mean_curve(masks, picker, clicks))]
    means: list[Cell] = [_mean(ious) for ious in zip(*curves, strict=True)]
    return (row.label, row.images, sum(map(len, row.parts)), *(means or [None] * clicks))


def _tabulate_clicks(rows: list[_Row], config: InteractiveConfig, first: str) -> Table:
    limit = config.noc_limit

    def mean(row: _Row, of_mask: Callable[[int | None], float], threshold: float) -> Cell:
        means = [
            _mean(
                [
                    of_mask(count_clicks(mask[Picker.TRUSTED.value], threshold, limit))
                    for mask in masks
                ]
            )
            for masks in row.parts
            if masks
        ]
        return _mean(means) if means else None

    columns, measures = [], []
    for threshold in config.noc_thresholds:
        percent = f"{100 * threshold:g}"
        columns += [f"NoC@{percent}", f"failures@{percent}"]
        measures += [
            (lambda count: float(limit if count is None else count), threshold),
            (lambda count: float(count is None), threshold),
        ]
    return Table(
        f"Clicks to reach an IoU, at most {limit}, {first}",
        (ROW, "images", "masks", *columns),
        tuple(
            (
                row.label,
                row.images,
                sum(map(len, row.parts)),
                *(mean(row, of_mask, threshold) for of_mask, threshold in measures),
            )
            for row in rows
        ),
    )
