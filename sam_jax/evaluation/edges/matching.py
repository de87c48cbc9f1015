"""Which pixels of two thin edge maps belong together: one to one, within a distance, as many and as near as can be.

The Berkeley benchmark (Martin, Fowlkes and Malik, "Learning to detect natural image boundaries using local brightness,
color, and texture cues", TPAMI 26(5), 2004) poses it as a matching of minimum cost, in which a pair costs its distance
and a pixel left alone a hundred times the largest distance. So as many pixels as possible are matched, and of all ways
to do so one with the smallest sum of distances counts. That is solved exactly here, in two steps:

1. A largest matching, at any distance, splits the graph of possible pairs (Dulmage and Mendelsohn, "Coverings of
   bipartite graphs", Canadian J. of Math. 10, 1958): where there are too many detected pixels, every largest matching
   has all pixels of truth, elsewhere it has all detected ones, and it has no pair across. So it is known who gets a
   partner: the seekers.
2. Seekers are dealt out to groups by tiles of the image, and each group is matched as if it were alone. If two groups
   take the same pixel, they are joined and matched anew. Once none do, the sum of distances is the smallest there is:
   no group could have less even with all pixels to itself.

Where several matchings cost the same, the benchmark's own program lets chance decide and this one does not; the numbers
of matched pixels are the same, but which pixels they are may differ, and with several annotators that can move the
count of detected pixels that any of them has by a few.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csgraph

from sam_jax.types import InputError

BENCHMARK_DISTANCE = 0.0075
"""Largest distance between matched pixels, as a share of the image's diagonal."""

TILE = 12
"""Side in pixels of the tiles that make the first groups. Smaller tiles are joined more often."""

DENSE = 2**17
"""Groups whose matrix of costs has more entries are matched by a solver for sparse matrices, to bound the memory."""


class Matching(NamedTuple):
    """Pixels of two edge maps that belong together.

    Attributes:
        detected: Pixels of the first map that have a partner.
        truth: Pixels of the second map that have a partner; as many as in `detected`.
        distance: Sum of the distances of all pairs, in pixels.
    """

    detected: Bool[np.ndarray, "h w"]
    truth: Bool[np.ndarray, "h w"]
    distance: float


class AnnotatedEdges(NamedTuple):
    """Edge maps by several annotators, made ready to be matched with any number of detected maps.

    Attributes:
        edges: The edge map of each annotator.
        pairs: Matrix of possible pairs, with a row for each pixel that a detector could find, annotator by annotator,
            and a column for each edge pixel that was drawn. Entries are distances plus 1 where they are small enough.
    """

    edges: Bool[np.ndarray, "a h w"]
    pairs: sparse.csr_array


def match_edges(
    detected: Bool[np.ndarray, "h w"],
    truth: Bool[np.ndarray, "truth_h truth_w"],
    max_distance: float = BENCHMARK_DISTANCE,
) -> Matching:
    """Match two edge maps.

    Args:
        detected: One map.
        truth: The other map.
        max_distance: Largest distance of a pair, as a share of the image's diagonal.

    Raises:
        InputError: The maps differ in size.
    """
    return match_annotators(detected, prepare_truth(truth[None], max_distance))[0]


def prepare_truth(
    edges: Bool[np.ndarray, "a h w"], max_distance: float = BENCHMARK_DISTANCE
) -> AnnotatedEdges:
    """Find all possible pairs.

    Args:
        edges: The edge map of each annotator.
        max_distance: Largest distance of a pair, as a share of the image's diagonal.
    """
    _, height, width = edges.shape
    radius = max_distance * float(np.hypot(height, width))
    reach = int(radius)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    offsets = offsets[:, np.hypot(*offsets) <= radius]
    person, row, column = (place[:, None] for place in np.nonzero(edges))
    rows, columns = row + offsets[0], column + offsets[1]
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    places = ((person * height + rows) * width + columns)[is_inside]
    # Plus 1, since sparse matrices take 0 for no pair; every matching of one size gains the same by it.
    costs = np.broadcast_to(np.hypot(*offsets) + 1, is_inside.shape)[is_inside]
    pairs = sparse.coo_array(
        (costs, (places, np.nonzero(is_inside)[0])), shape=(edges.size, len(row))
    )
    return AnnotatedEdges(edges, pairs.tocsr())


def match_annotators(detected: Bool[np.ndarray, "h w"], truth: AnnotatedEdges) -> list[Matching]:
    """Match a detected edge map with that of each annotator, independently of the others.

    Args:
        detected: The detected map.
        truth: The annotators' maps.

    Raises:
        InputError: The maps differ in size.
    """
    people, *size = truth.edges.shape
    if detected.shape != tuple(size):
        raise InputError(
            f"edges of {detected.shape[1]}x{detected.shape[0]} pixels cannot be matched with truth of "
            f"{size[1]}x{size[0]}: bring them to one size"
        )
    starts = np.arange(people + 1) * detected.size
    found = (np.flatnonzero(detected) + starts[:-1, None]).ravel()
    found = found[np.diff(truth.pairs.indptr)[found] > 0]
    drawn = np.flatnonzero(truth.edges)
    pairs = _take(truth.pairs, found)
    bounds = np.stack([np.searchsorted(found, starts), np.searchsorted(drawn, starts)], axis=1)
    wishes = _find_wishes(pairs, _match_somehow(pairs, bounds))
    person, row, column = np.unravel_index(np.concatenate([found, drawn]), truth.edges.shape)
    tiles = np.array([people, size[0] // TILE + 1, size[1] // TILE + 1])
    partner = _assign(wishes, np.ravel_multi_index((person, row // TILE, column // TILE), tiles))
    seekers = np.flatnonzero(partner >= 0)
    partners = partner[seekers]
    distances = np.hypot(row[seekers] - row[partners], column[seekers] - column[partners])
    distance = np.bincount(person[seekers], distances, minlength=people)
    kept = np.zeros((2, *truth.edges.shape), bool)
    both = np.concatenate([seekers, partners])
    kept[(both >= len(found)).astype(np.int64), person[both], row[both], column[both]] = True
    return [
        Matching(of_map, of_person, float(total))
        for of_map, of_person, total in zip(*kept, distance, strict=True)
    ]


def _take(matrix: sparse.csr_array, rows: Int[np.ndarray, " r"]) -> sparse.csr_array:
    """Rows of a matrix; SciPy's own indexing is many times slower for small ones."""
    _, width = matrix.shape  # pyright: ignore[reportGeneralTypeIssues]
    starts = matrix.indptr[rows]
    counts = matrix.indptr[rows + 1] - starts
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    chosen = np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1], dtype=np.int32)
    return sparse.csr_array(
        (matrix.data[chosen], matrix.indices[chosen], ends), shape=(len(rows), width)
    )


def _match_somehow(
    pairs: sparse.csr_array, bounds: Int[np.ndarray, "bounds 2"]
) -> Int[np.ndarray, " r"]:
    """The column of each row in a largest matching, whatever its distances; -1 for none.

    Args:
        pairs: Possible pairs of all annotators.
        bounds: First row and column of each annotator, and the ends; one annotator at a time is faster.
    """
    height, _ = pairs.shape  # pyright: ignore[reportGeneralTypeIssues]
    matched = np.full(height, -1)
    for (top, left), (bottom, right) in pairwise(bounds.tolist()):
        ends = pairs.indptr[top : bottom + 1]
        some = slice(ends[0], ends[-1])
        part = sparse.csr_array(
            (pairs.data[some], pairs.indices[some] - left, ends - ends[0]),
            shape=(bottom - top, right - left),
        )
        # The solver starts by giving each in turn the first that is free. It has little left to do after that if those
        # with the fewest choices choose first, and are chosen first.
        rows = _sort(np.diff(part.indptr))
        turned = _take(part, rows).T.tocsr()
        columns = _sort(np.diff(turned.indptr))
        row = csgraph.maximum_bipartite_matching(_take(turned, columns), perm_type="column")
        matched[top + rows[row[row >= 0]]] = left + columns[row >= 0]
    return matched


def _sort(numbers: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The stable order of small numbers; NumPy sorts numbers of at most 16 bits many times faster."""
    return np.argsort(numbers.astype(np.min_scalar_type(numbers.max(initial=0))), kind="stable")


def _find_wishes(pairs: sparse.csr_array, matched: Int[np.ndarray, " r"]) -> sparse.csr_array:
    """Who gets a partner for certain, and which ones it may be, as a square matrix over rows first, then columns.

    Rows that a largest matching can do without are those to which paths lead from a row that is left alone, over any
    pair to a column and over that column's matched pair to another row. The columns next to such rows always have a
    partner, and always among them; all other rows have one too, among the other columns.
    """
    height, width = pairs.shape  # pyright: ignore[reportGeneralTypeIssues]
    alone = np.flatnonzero(matched < 0)
    is_matched = matched >= 0
    row_of = np.full(width, height)
    row_of[matched[is_matched]] = np.flatnonzero(is_matched)
    # One more place, from which all paths start. That free columns lead back to it makes no difference.
    ends = np.append(pairs.indptr, pairs.nnz + len(alone))
    steps = np.concatenate([row_of[pairs.indices], alone])
    paths = sparse.csr_array((np.ones(len(steps), np.int8), steps, ends), shape=(height + 1,) * 2)
    is_spare = np.zeros(height + 1, bool)
    is_spare[csgraph.breadth_first_order(paths, height, return_predecessors=False)] = True
    row = np.repeat(np.arange(height), np.diff(pairs.indptr))
    is_scarce = np.zeros(width, bool)
    is_scarce[pairs.indices[is_spare[row]]] = True
    stays = is_spare[row] | ~is_scarce[pairs.indices]
    row, column, cost = row[stays], pairs.indices[stays] + height, pairs.data[stays]
    seeker = np.where(is_spare[row], column, row)
    return sparse.coo_array(
        (cost, (seeker, row + column - seeker)), shape=(height + width,) * 2
    ).tocsr()


def _assign(wishes: sparse.csr_array, group: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The partners of all seekers with the smallest sum of costs; -1 for the pixels that seek none.

    Args:
        wishes: Costs of the pairs that a seeker (row) may form.
        group: Number of the group that each pixel belongs to at first.
    """
    partner = np.full(len(group), -1)
    seekers = np.flatnonzero(np.diff(wishes.indptr) > 0)
    if len(seekers) == 0:
        return partner
    # The solver takes about a third less time if those with the cheapest wishes come first.
    seekers = seekers[np.argsort(np.minimum.reduceat(wishes.data, wishes.indptr[seekers]))]
    waiting = seekers
    while len(waiting):
        waiting = waiting[_sort(group[waiting])]
        partner[waiting] = _match_groups(_take(wishes, waiting), group[waiting])
        takers = np.bincount(partner[seekers], minlength=len(partner))
        rivals = seekers[takers[partner[seekers]] > 1]
        rivals = rivals[np.argsort(partner[rivals])]
        is_same = np.diff(partner[rivals]) == 0
        ends = group[rivals[:-1][is_same]], group[rivals[1:][is_same]]
        links = sparse.coo_array((np.ones(len(ends[0])), ends), shape=(group.max() + 1,) * 2)
        _, joined = csgraph.connected_components(links, directed=False)
        is_new = np.zeros(len(joined), bool)
        is_new[joined[ends[0]]] = True
        group = joined[group]
        waiting = seekers[is_new[group[seekers]]]
    return partner


def _match_groups(wishes: sparse.csr_array, group: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
    """The column of each row in the best matching of each group of rows, as if there were no other group.

    Args:
        wishes: Costs of possible pairs; the rows of one group follow one another.
        group: Number of each row's group.
    """
    _, total = wishes.shape  # pyright: ignore[reportGeneralTypeIssues]
    is_first = np.diff(group, prepend=-1) != 0
    first_row, number = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    row = np.repeat(np.arange(len(group)), np.diff(wishes.indptr))
    # Each group has a copy of all columns that it wants.
    keys, copy = np.unique(number[row] * total + wishes.indices, return_inverse=True)
    first_copy = np.searchsorted(keys, np.arange(len(first_row) + 1) * total)
    heights, widths = np.diff(first_row, append=len(group)), np.diff(first_copy)
    sizes = heights * widths
    is_dense = sizes <= DENSE
    ends = np.cumsum(np.where(is_dense, sizes, 0))
    line = (ends - sizes)[number] + (np.arange(len(group)) - first_row[number]) * widths[number]
    costs = np.full(ends[-1], np.inf)
    is_entry = is_dense[number[row]]
    costs[((line - first_copy[number])[row] + copy)[is_entry]] = wishes.data[is_entry]
    chosen = []
    for k, (height, width) in enumerate(zip(heights.tolist(), widths.tolist(), strict=True)):
        if is_dense[k]:
            matrix = costs[ends[k] - height * width : ends[k]].reshape(height, width)
            chosen.append(linear_sum_assignment(matrix)[1])
        else:
            stops = wishes.indptr[first_row[k] : first_row[k] + height + 1]
            some = slice(stops[0], stops[-1])
            part = sparse.csr_array(
                (wishes.data[some], copy[some] - first_copy[k], stops - stops[0]),
                shape=(height, width),
            )
            chosen.append(csgraph.min_weight_full_bipartite_matching(part)[1])
    return keys[np.concatenate(chosen) + first_copy[number]] % total
