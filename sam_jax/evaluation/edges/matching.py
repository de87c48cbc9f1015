"""Which pixels of two thin edge maps belong together: one to one, within a distance, as many and as near as can be.

The Berkeley benchmark (Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness,
color, and texture cues", TPAMI 26(5), 2004) poses it as a matching of minimum cost, in which a pair costs its distance
and a pixel left alone a hundred times the largest distance. So as many pixels as possible are matched, and of all ways
to do so one with the smallest sum of distances counts. That is solved exactly here, component by component of the graph
of possible pairs. Where several matchings cost the same, the benchmark's own program lets chance decide and this one
does not; the numbers of matched pixels are the same, but which pixels they are may differ, and with several annotators
that can move the count of detected pixels that any of them has by a few.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Int
from scipy.sparse import csgraph

from sam_jax.types import InputError

BENCHMARK_DISTANCE = 0.0075
"""How far apart two pixels of one edge may be, as a share of the image's diagonal."""

PART_SIZE = 500
"""Components are matched together until they have this many pixels."""


class Matching(NamedTuple):
    """Pixels of two edge maps that belong together.

    Attributes:
        detected: those of the first map that have a partner.
        truth: those of the second map that have one; as many.
        distance: sum over the pairs, in pixels.
    """

    detected: Bool[np.ndarray, "h w"]
    truth: Bool[np.ndarray, "h w"]
    distance: float


def match_edges(
    detected: Bool[np.ndarray, "h w"],
    truth: Bool[np.ndarray, "truth_h truth_w"],
    max_distance: float = BENCHMARK_DISTANCE,
) -> Matching:
    """Match two edge maps.

    Args:
        detected: one map.
        truth: the other.
        max_distance: of a pair, as a share of the image's diagonal.

    Raises:
        InputError: the maps differ in size.
    """
    if detected.shape != truth.shape:
        raise InputError(
            f"edges of {detected.shape[1]}x{detected.shape[0]} pixels cannot be matched with truth of "
            f"{truth.shape[1]}x{truth.shape[0]}: bring them to one size"
        )
    pairs = _find_pairs(detected, truth, max_distance * float(np.hypot(*detected.shape)))
    rows, columns, distance = _match(pairs)
    return Matching(
        _keep(detected, rows),
        _keep(truth, columns),
        distance,
    )


def _keep(edges: Bool[np.ndarray, "h w"], chosen: Int[np.ndarray, " k"]) -> Bool[np.ndarray, "h w"]:
    kept = np.zeros(edges.size, bool)
    kept[np.flatnonzero(edges)[chosen]] = True
    return kept.reshape(edges.shape)


def _find_pairs(
    detected: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"], radius: float
) -> sparse.csr_array:
    """Distances plus 1, of pixels of both maps (in reading order) that may be paired.

    Plus 1, since the solver takes 0 for no pair; every matching of one size gains the same by it.
    """
    reach = int(radius)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    distances = np.hypot(*offsets.T)
    offsets, distances = offsets[distances <= radius], distances[distances <= radius]
    width = truth.shape[1] + 2 * reach
    index = np.full((truth.shape[0] + 2 * reach, width), -1, np.int32)
    index[reach : reach + truth.shape[0], reach : reach + truth.shape[1]][truth] = np.arange(
        np.count_nonzero(truth), dtype=np.int32
    )
    rows, columns = np.nonzero(detected)
    places = (rows + reach) * width + columns + reach
    found = index.ravel()[places[:, None] + offsets @ np.array([width, 1])]
    is_pair = found >= 0
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(is_pair, axis=1))]).astype(np.int32)
    weights = np.broadcast_to(distances + 1, is_pair.shape)[is_pair]
    return sparse.csr_array(
        (weights, found[is_pair], ends), shape=(len(rows), np.count_nonzero(truth))
    )


def _match(
    pairs: sparse.csr_array,
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"], float]:
    """Rows and columns of the largest matching of the smallest sum, and that sum without the 1 of each pair."""
    height, width = pairs.shape  # pyright: ignore[reportGeneralTypeIssues]
    # Rows that are left alone are what takes time, and of the smaller side there are fewer.
    if height > width:
        columns, rows, distance = _match(pairs.T.tocsr())
        return rows, columns, distance
    alone = 1.0 + height * pairs.data.max(initial=0.0)  # more than any matching costs
    all_rows, all_columns, distance = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0.0
    for some_rows, some_columns, part in _split(pairs):
        fillers = sparse.diags_array(np.full(len(some_rows), alone))
        filled = sparse.hstack([part, fillers], format="csr")
        row, column = csgraph.min_weight_full_bipartite_matching(filled)
        is_pair = column < len(some_columns)
        row, column = row[is_pair], column[is_pair]
        all_rows.append(some_rows[row])
        all_columns.append(some_columns[column])
        distance += float(part[row, column].sum() - len(row))
    return np.concatenate(all_rows), np.concatenate(all_columns), distance


def _split(
    pairs: sparse.csr_array,
) -> Iterator[tuple[Int[np.ndarray, " r"], Int[np.ndarray, " c"], sparse.csr_array]]:
    """Rows and columns of parts that no pair connects, and their pairs.

    A part is one connected component, or several small ones: each call of the solver has its price. What is in no pair
    is in no part.
    """
    height, width = pairs.shape  # pyright: ignore[reportGeneralTypeIssues]
    ends = np.concatenate([pairs.indptr, np.full(width, pairs.nnz)])
    graph = sparse.csr_array(
        (np.ones(pairs.nnz, np.int8), pairs.indices + height, ends), shape=(height + width,) * 2
    )
    _, component = csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(component)
    part_of = (np.cumsum(sizes) - sizes) // PART_SIZE
    part_of = np.unique(part_of, return_inverse=True)[1][component]
    row_part, column_part = part_of[:height], part_of[height:]
    has_pair = np.diff(pairs.indptr) > 0
    is_paired = np.zeros(width, bool)
    is_paired[pairs.indices] = True
    for part in np.unique(row_part[has_pair]):
        rows = np.flatnonzero(has_pair & (row_part == part))
        columns = np.flatnonzero(is_paired & (column_part == part))
        yield rows, columns, pairs[rows][:, columns]
