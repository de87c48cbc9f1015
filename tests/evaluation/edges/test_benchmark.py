import json

import numpy as np
import pytest

from sam_jax.evaluation.edges.benchmark import count_matches, score_edges, tabulate_edges
from sam_jax.evaluation.edges.curve import plot_precision_recall
from sam_jax.types import InputError


def outline(height=90, width=120):
    """A thin closed line."""
    edges = np.zeros((height, width), bool)
    edges[20, 30:80] = edges[60, 30:80] = True
    edges[21:60, 29] = edges[21:60, 80] = True  # diagonal at the corners: it is thin as it is
    return edges


def ods_of(edges, truth):
    return score_edges([count_matches(edges.astype(float), truth)]).ods


def test_truth_is_right():
    truth = outline()
    record = count_matches(truth.astype(float), truth[None])
    pixels = np.count_nonzero(truth)
    assert record == dict.fromkeys(("cntR", "sumR", "cntP", "sumP"), [pixels] * 99)
    scores = score_edges([record])
    assert (scores.ods, scores.ois, scores.r50, scores.images) == (1, 1, 1, 1)


@pytest.mark.parametrize(("shift", "ods"), [(1, 1), (4, 1), (6, 0)])
def test_shifts_count_once_they_are_beyond_the_tolerance(shift, ods):
    truth = np.zeros((400, 500), bool)  # tolerance: 4.8 pixels
    truth[50:350, 200] = True
    assert ods_of(np.roll(truth, shift, axis=1), truth[None]) == ods


def test_annotators():
    first, second, both = np.zeros((3, 100, 60), bool)
    first[10:30, 10] = second[50:90, 40] = True
    both = first | second
    record = count_matches(both.astype(float), np.stack([first, second]))
    assert [record[name][0] for name in ("cntR", "sumR", "cntP", "sumP")] == [60, 60, 60, 60]
    record = count_matches(first.astype(float), np.stack([second, both, both]))
    assert [record[name][0] for name in ("cntR", "sumR", "cntP", "sumP")] == [40, 160, 20, 20]
    assert score_edges([record]).ods == pytest.approx(2 * 0.25 / 1.25)


def test_a_wrong_edge_costs_precision_once_however_many_annotators():
    truth = outline()
    edges = truth.copy()
    edges[75, 30:50] = True
    record = count_matches(edges.astype(float), np.stack([truth] * 3))
    pixels = np.count_nonzero(truth)
    assert record["cntR"][0] == record["sumR"][0] == 3 * pixels
    assert (record["cntP"][0], record["sumP"][0]) == (pixels, pixels + 20)


def test_thresholds_and_thinning():
    edges = np.zeros((80, 120))
    edges[20:23, 10:60] = 0.5  # three pixels thick
    edges[60, 10:30] = 0.2
    truth = edges > 0
    truth[[20, 22]] = False
    record = count_matches(edges, truth[None])
    assert np.argmin(record["sumP"]) == 50  # 0.51 is the first threshold above all
    assert record["sumP"][49] == pytest.approx(50, abs=2)
    assert record["sumP"][19] - record["sumP"][20] == 20
    assert record["sumP"][50:] == [0] * 49


def test_records_are_json_and_their_order_makes_no_difference():
    rng = np.random.default_rng(0)
    truth = outline()
    records = [
        count_matches(truth * rng.random(truth.shape), truth[None], thresholds=9) for _ in range(3)
    ]
    again = json.loads(json.dumps(records))[::-1]
    for one, other in zip(score_edges(records), score_edges(again), strict=True):
        np.testing.assert_array_equal(one, other)


def record_of(*columns):
    return dict(zip(("cntR", "sumR", "cntP", "sumP"), map(list, columns), strict=True))


def test_measures_by_hand():
    # recall 0.8, 0.5; precision 0.4, 0.8
    one = record_of((80, 50), (100, 100), (60, 40), (150, 50))
    # recall 0.6, 0.1; precision 1, 1
    other = record_of((60, 10), (100, 100), (50, 5), (50, 5))
    scores = score_edges([one, other])
    recall, precision = np.array([140 / 200, 60 / 200]), np.array([110 / 200, 45 / 55])
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.precision, precision)
    # Best thresholds: the second of the first image, the first of the other.
    best_recall, best_precision = (50 + 60) / 200, (40 + 50) / (50 + 50)
    assert scores.ois == pytest.approx(
        2 * best_recall * best_precision / (best_recall + best_precision)
    )
    line = np.linspace(0, 1, 100)
    r, p = (x[0] * (1 - line) + x[1] * line for x in (recall, precision))
    f = 2 * r * p / (r + p)
    assert scores.ods == pytest.approx(f.max())
    assert scores.ods > (2 * recall * precision / (recall + precision)).max()
    assert scores.ods_threshold == pytest.approx((1 + line[f.argmax()]) / 3)
    # Precision falls linearly from 45/55 at recall 0.3 to 0.55 at 0.7: 41 values, the middle one at 0.5.
    assert scores.ap == pytest.approx(41 * (45 / 55 + 0.55) / 2 / 100)
    assert scores.r50 == pytest.approx(0.7)  # precision is never as low as one half
    assert scores.images == 2


def test_recall_at_half_precision():
    # precision 0.25, 0.75 at recall 0.9, 0.5
    scores = score_edges([record_of((90, 50), (100, 100), (25, 75), (100, 100))])
    assert scores.r50 == pytest.approx(0.7)
    never = score_edges([record_of((90, 50), (100, 100), (25, 30), (100, 100))])
    assert never.r50 == 0
    nothing = score_edges([record_of((0, 0), (100, 100), (0, 0), (0, 0))])
    assert (nothing.ods, nothing.ois, nothing.ap, nothing.r50) == (0, 0, 0, 0)


def test_bad_input():
    truth = outline()[None]
    with pytest.raises(InputError, match="normalise"):
        count_matches(2.0 * truth[0], truth)
    with pytest.raises(InputError, match="normalise"):
        count_matches(np.full((90, 120), np.nan), truth)
    with pytest.raises(InputError, match="the truth is 120 wide and 90 high, but the edges are 90"):
        count_matches(np.zeros((120, 90)), truth)
    with pytest.raises(InputError, match="no annotator"):
        count_matches(np.zeros((90, 120)), truth[:0])
    with pytest.raises(InputError, match="no image"):
        score_edges([])
    short = count_matches(np.zeros((90, 120)), truth, thresholds=9)
    with pytest.raises(InputError, match="thresholds"):
        score_edges([short, count_matches(np.zeros((90, 120)), truth)])


def test_table_and_curve():
    truth = outline()
    soft = truth * np.random.default_rng(1).random(truth.shape)
    scores = {
        "soft <1>": score_edges([count_matches(soft, truth[None], thresholds=9)]),
        "truth": score_edges([count_matches(truth.astype(float), truth[None])]),
        "nothing": score_edges([count_matches(np.zeros(truth.shape), truth[None])]),
    }
    table = tabulate_edges(scores, "a frame")
    assert table.columns == ("method", "ODS", "OIS", "AP", "R50", "images")
    assert [row[0] for row in table.rows] == list(scores)
    assert table.rows[1] == ("truth", 1.0, 1.0, 0.0, 1.0, 1)
    (axes,) = plot_precision_recall(scores).axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[0] == "[F=1.000] truth"
    assert names[1].endswith("soft <1>")
    curve, dot, *_ = axes.lines[9:]  # after the lines of equal F
    np.testing.assert_array_equal(curve.get_xydata(), np.ones((99, 2)))
    np.testing.assert_array_equal(dot.get_xydata(), [[1, 1]])
    assert len(axes.lines) == 9 + 2 + 2 + 1  # where nothing was detected, there is no dot
