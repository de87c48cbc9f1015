"""Masks as runs of pixels down the columns, and their area averages, without drawing them at full size."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer


class Runs(NamedTuple):
    """A mask as run-length encoding has it, but by position instead of by length.

    Attributes:
        starts: Index of the first pixel of each run of the object, counted down the columns from the left one.
        ends: Index after the last pixel of each run.
        size: Height and width of the mask.
    """

    starts: Int[np.ndarray, " r"]
    ends: Int[np.ndarray, " r"]
    size: tuple[int, int]

    @property
    def area(self) -> int:
        """Area of the object in pixels."""
        return int((self.ends - self.starts).sum())


class LabelRuns(NamedTuple):
    """All runs of a label map, those of one label together.

    Attributes:
        labels: Label of each run, ascending; 0, the background, is left out.
        starts: First pixel of each run as in `Runs`, ascending within a label.
        ends: Index after the last pixel of each run.
        size: Height and width of the label map.
    """

    labels: Integer[np.ndarray, " r"]
    starts: Int[np.ndarray, " r"]
    ends: Int[np.ndarray, " r"]
    size: tuple[int, int]

    def of(self, label: int) -> Runs:
        """The runs of one label's mask."""
        first, last = np.searchsorted(self.labels, [label, label + 1])
        return Runs(self.starts[first:last], self.ends[first:last], self.size)


def find_runs(mask: Bool[np.ndarray, "h w"]) -> Runs:
    """Find the runs of a mask.

    >>> find_runs(np.array([[False, True], [True, False]]))
    Runs(starts=array([1]), ends=array([3]), size=(2, 2))
    """
    pixels = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(pixels, prepend=False, append=False))
    return Runs(edges[0::2], edges[1::2], (mask.shape[0], mask.shape[1]))


def find_label_runs(labels: Integer[np.ndarray, "h w"]) -> LabelRuns:
    """Find the runs of all labels of a label map at once."""
    pixels = labels.ravel(order="F")
    edges = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, [pixels.size]])
    starts, ends = edges[:-1], edges[1:]
    order = np.argsort(pixels[starts], kind="stable")
    order = order[pixels[starts[order]] != 0]
    return LabelRuns(
        pixels[starts[order]], starts[order], ends[order], (labels.shape[0], labels.shape[1])
    )


def draw_runs(runs: Runs) -> Bool[np.ndarray, "h w"]:
    """Draw the mask whose runs `find_runs` found."""
    height, width = runs.size
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    lengths = np.diff(edges, prepend=0, append=height * width)
    is_object = np.arange(lengths.size) % 2 == 1
    return np.repeat(is_object, lengths).reshape(height, width, order="F")


def bound_runs(runs: Runs) -> tuple[tuple[int, int], tuple[int, int]]:
    """Find the smallest box that holds a mask: rows from and to, columns from and to; zeros if it is empty."""
    if runs.starts.size == 0:
        return (0, 0), (0, 0)
    height = runs.size[0]
    first_columns, last_columns = runs.starts // height, (runs.ends - 1) // height
    columns = int(first_columns[0]), int(last_columns[-1]) + 1
    if (first_columns != last_columns).any():
        return (0, height), columns
    return (int((runs.starts % height).min()), int(((runs.ends - 1) % height).max()) + 1), columns


def measure_cells(
    runs: Runs,
    row_edges: Float[np.ndarray, " gh_edges"],
    column_edges: Float[np.ndarray, " gw_edges"],
) -> Float[np.ndarray, "gh gw"]:
    """Area of a mask in each cell of a grid, exactly, in pixels of the mask.

    The number of object pixels before a place in the reading order is piecewise linear with knots at the runs' ends, so
    a column's share of a cell is a difference of two interpolated numbers; the cost is that of runs and cells, not of
    pixels.

    Args:
        runs: Runs of the mask.
        row_edges: Ascending edges of the grid's rows, in rows of the mask, between 0 and its height.
        column_edges: Ascending edges of the grid's columns, in columns of the mask, between 0 and its width.
    """
    areas = np.zeros((row_edges.size - 1, column_edges.size - 1))
    if runs.starts.size == 0:
        return areas
    height = runs.size[0]
    (top, bottom), (left, right) = bound_runs(runs)
    rows = _cells_that_meet(row_edges, top, bottom)
    columns = _cells_that_meet(column_edges, left, right)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return areas
    y = row_edges[rows.start : rows.stop + 1]
    x = column_edges[columns.start : columns.stop + 1]

    first, last = int(np.floor(x[0])), int(np.ceil(x[-1]))
    places = np.arange(first, last)[:, None] * height + y
    lengths = runs.ends - runs.starts
    knots = np.stack([runs.starts, runs.ends], axis=1).ravel()
    before_knots = np.repeat(np.concatenate([[0], np.cumsum(lengths)]), 2)[1:-1]
    in_rows = np.diff(np.interp(places, knots, before_knots), axis=1)

    before_columns = np.concatenate([np.zeros((1, in_rows.shape[1])), np.cumsum(in_rows, axis=0)])
    whole = np.minimum(np.floor(x).astype(int) - first, last - first - 1)
    part = (x - first - whole)[:, None]
    before_x = before_columns[whole] * (1 - part) + before_columns[whole + 1] * part
    areas[rows, columns] = np.diff(before_x, axis=0).T
    return areas


def _cells_that_meet(edges: Float[np.ndarray, " edges"], start: int, stop: int) -> slice:
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, stop, side="left"))
    return slice(max(first, 0), min(last, edges.size - 1))
