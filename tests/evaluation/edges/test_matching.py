import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sam_jax.evaluation.edges import matching as edge_matching
from sam_jax.evaluation.edges.matching import match_annotators, match_edges, prepare_truth
from sam_jax.types import InputError

ALONE = 1e5


def match_slowly(detected, truth, radius):
    """Number of pairs and their distance, from the matrix of all costs, with a filler for each pixel left alone."""
    one, other = np.argwhere(detected), np.argwhere(truth)
    costs = np.full((len(one) + len(other),) * 2, ALONE)
    costs[len(one) :, len(other) :] = 0
    distances = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))
    costs[: len(one), : len(other)] = np.where(distances <= radius, distances, 10 * ALONE)
    rows, columns = linear_sum_assignment(costs)
    chosen = costs[rows, columns]
    is_pair = (rows < len(one)) & (columns < len(other)) & (chosen < ALONE)
    return is_pair.sum(), chosen[is_pair].sum()


def check(detected, truth, radius):
    matching = match_edges(detected, truth, radius / np.hypot(*detected.shape))
    count, distance = match_slowly(detected, truth, radius)
    assert matching.detected.sum() == matching.truth.sum() == count
    assert not (matching.detected & ~detected).any()
    assert not (matching.truth & ~truth).any()
    assert matching.distance == pytest.approx(distance, abs=1e-6)
    return count


@pytest.mark.parametrize("seed", range(40))
def test_random_maps_are_matched_as_a_slow_matching_does(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 15, 2)
    detected, truth = (rng.random((height, width)) < rng.uniform(0, 0.6) for _ in range(2))
    check(detected, truth, rng.uniform(0.8, 3.7))


def canny_of_photos():
    from skimage import data
    from skimage.color import rgb2gray
    from skimage.feature import canny

    photos = (data.astronaut, data.chelsea, data.coffee, data.rocket)
    for photo in (data.camera() / 255, *(rgb2gray(read()) for read in photos)):
        part = photo[160:250, 270:380]
        yield canny(part, sigma=1.0), canny(part, sigma=2.0)


def test_edges_of_photos_are_matched_as_a_slow_matching_does():
    counts = [check(*maps, radius=3.3) for maps in canny_of_photos()]
    assert min(counts) > 100


@pytest.mark.parametrize("shares", [(0.05, 0.4), (0.4, 0.05), (0.15, 0.15)])
@pytest.mark.parametrize(("tile", "dense"), [(12, 2**17), (3, 2**17), (7, 30), (100, 0)])
def test_neither_groups_nor_solvers_make_a_difference(monkeypatch, shares, tile, dense):
    monkeypatch.setattr(edge_matching, "TILE", tile)
    monkeypatch.setattr(edge_matching, "DENSE", dense)
    rng = np.random.default_rng(0)
    detected, truth = (rng.random((29, 37)) < share for share in shares)
    check(detected, truth, 3.3)


def test_too_many_detected_here_and_too_many_drawn_there():
    rng = np.random.default_rng(1)
    many, few = rng.random((25, 30)) < 0.4, rng.random((25, 30)) < 0.1
    check(np.hstack([many, few]), np.hstack([few, many]), 2.9)


def test_a_line_beside_a_line_is_matched_across_tiles():
    detected, truth = np.zeros((2, 9, 200), bool)
    detected[4, 5:150] = truth[6, 2:147] = True
    matching = match_edges(detected, truth, 3.7 / np.hypot(9, 200))
    assert matching.detected.sum() == matching.truth.sum() == 145
    assert matching.distance == pytest.approx(match_slowly(detected, truth, 3.7)[1])


def test_annotators_are_matched_each_for_itself():
    rng = np.random.default_rng(2)
    detected, *truths = rng.random((5, 31, 23)) < 0.2
    truths[1][:] = False
    together = match_annotators(detected, prepare_truth(np.stack(truths), 0.07))
    for truth, matching in zip(truths, together, strict=True):
        alone = match_edges(detected, truth, 0.07)
        assert matching.detected.sum() == matching.truth.sum() == alone.detected.sum()
        assert not (matching.truth & ~truth).any()
        assert matching.distance == pytest.approx(alone.distance)
    assert [matching.detected.any() for matching in together] == [True, False, True, True]


def test_more_pairs_go_before_nearer_pairs():
    detected, truth = np.zeros((2, 1, 9), bool)
    detected[0, [2, 4]] = truth[0, [4, 6]] = True
    matching = match_edges(detected, truth, 2.1 / np.hypot(1, 9))
    assert matching.detected.sum() == 2
    assert matching.distance == 4


def test_the_nearest_of_two_is_taken():
    detected, truth = np.zeros((2, 5, 9), bool)
    detected[2, [1, 5]] = truth[2, 4] = True
    matching = match_edges(detected, truth, 3.1 / np.hypot(5, 9))
    np.testing.assert_array_equal(np.argwhere(matching.detected), [[2, 5]])
    assert matching.distance == 1


def test_the_benchmarks_distance_is_a_share_of_the_diagonal():
    detected, truth = np.zeros((2, 300, 400), bool)  # 0.0075 of 500 pixels: 3.75
    detected[100, 100], truth[103, 102] = True, True  # 3.61 away
    assert match_edges(detected, truth).detected.sum() == 1
    assert match_edges(np.roll(detected, -1, axis=0), truth).detected.sum() == 0


def test_nothing_matches_nothing():
    nothing = np.zeros((4, 7), bool)
    for one, other in ((nothing, nothing), (nothing, ~nothing), (~nothing, nothing)):
        matching = match_edges(one, other)
        assert not matching.detected.any()
        assert not matching.truth.any()
        assert matching.distance == 0


def test_maps_of_different_size():
    with pytest.raises(InputError, match="5x4 pixels cannot be matched with truth of 4x5"):
        match_edges(np.zeros((4, 5), bool), np.zeros((5, 4), bool))
