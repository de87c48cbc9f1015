"""What the records of clicked objects say: tables, and the curve of mIoU by number of clicks."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sam_jax.evaluation.experiment import Measured
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.plots import COLOURS, new_plot
from sam_jax.evaluation.points.sessions import Picker, PointsConfig, count_clicks
from sam_jax.evaluation.tables import Cell, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = "method, data set"
"""Heading of the first column."""

MARKERS = ("o", "s", "^", "D")
"""Markers of lines in the plot: the first for each colour once, then the next."""


class _Row(NamedTuple):
    """What one row of a table is the mean of: the masks of one data set, or the means of several data sets."""

    label: str
    parts: list[list[dict[str, Any]]]
    images: int


def mean_curve(records: Sequence[ImageRecord], picker: Picker, clicks: int) -> list[float]:
    """The mIoU after 1, 2, ... clicks, the mean over all masks; empty if there are no masks.

    A session that ended early, because nothing was left to click, stays at its last IoU.

    Args:
        records: Records of `click_objects`, of any images in any order.
        picker: The annotator whose sessions count.
        clicks: Number of clicks, and of values.
    """
    return _mean_curve(_masks_of(records), picker, clicks)


def tabulate_clicks(results: Sequence[Measured], config: PointsConfig) -> list[Table]:
    """Tables of mIoU by number of clicks, of the trusted masks and of the oracle's, and of clicks to reach an IoU.

    A method with several data sets gets a row for their mean, in which each data set has the same weight (SAM,
    appendix D.1). The last table gives the mean number of clicks to reach each IoU (NoC), and the share of masks that
    don't reach it in `noc_limit` clicks and count as `noc_limit`.

    Args:
        results: Each method on each data set.
        config: The configuration that the records were made with.
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
        tables.append(_tabulate_noc(rows, config, first))
    return tables


def plot_clicks(results: Sequence[Measured], config: PointsConfig) -> "Figure":
    """A plot of mIoU by number of clicks: a line for each method and data set, dashed for the oracle.

    Args:
        results: Each method on each data set.
        config: The configuration that the records were made with.
    """
    shown = [result for result in results if _masks_of(result.records)]
    figure, axes = new_plot(9.0, max(4.5, 1.0 + 0.22 * len(shown)))
    numbers = range(1, config.clicks + 1)
    for place, result in enumerate(shown):
        for picker, style in ((Picker.TRUSTED, "-"), (Picker.ORACLE, "--")):
            axes.plot(
                numbers,
                mean_curve(result.records, picker, config.clicks),
                style,
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place // len(COLOURS) % len(MARKERS)],
                markersize=4,
                label=result.label if picker is Picker.TRUSTED else None,
            )
    axes.plot([], [], "--", color="#777777", label="dashed: oracle")
    axes.set_xticks(numbers)
    axes.set_ylim(0, 1)
    axes.set_xlabel("clicks")
    axes.set_ylabel("mIoU")
    first = "at the centre" if config.first == "centre" else "at random"
    axes.set_title(f"mIoU by number of clicks, first click {first}", loc="left")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _masks_of(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    return [mask for record in records for mask in record["masks"]]


def _mean(values: Sequence[float]) -> float:
    """The mean, exactly rounded, so that it doesn't depend on the order."""
    return math.fsum(values) / len(values)


def _mean_curve(masks: list[dict[str, Any]], picker: Picker, clicks: int) -> list[float]:
    if not masks:
        return []
    curves = [mask[picker.value] for mask in masks]
    return [
        _mean([curve[min(n, len(curve)) - 1] for curve in curves]) for n in range(1, clicks + 1)
    ]


def _make_rows(results: Sequence[Measured]) -> Iterator[_Row]:
    """A row for each method and data set, and one for each method with several data sets."""
    for method in dict.fromkeys(one.method for one in results):
        parts, images = [], 0
        for one in results:
            if one.method == method:
                masks = _masks_of(one.records)
                count = sum(bool(record["masks"]) for record in one.records)
                yield _Row(one.label, [masks], count)
                parts += [masks] if masks else []
                images += count
        if len(parts) > 1:
            yield _Row(f"{method}, mean of {len(parts)} data sets", parts, images)


def _curve_row(row: _Row, picker: Picker, clicks: int) -> tuple[Cell, ...]:
    curves = [curve for masks in row.parts if (curve := _mean_curve(masks, picker, clicks))]
    means: list[Cell] = [_mean(ious) for ious in zip(*curves, strict=True)]
    return (row.label, row.images, sum(map(len, row.parts)), *(means or [None] * clicks))


def _tabulate_noc(rows: list[_Row], config: PointsConfig, first: str) -> Table:
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
