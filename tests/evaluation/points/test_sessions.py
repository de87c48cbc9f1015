import hashlib
import json

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from sam_jax.data.example import Example
from sam_jax.evaluation.experiment import Measured
from sam_jax.evaluation.points.annotator import Answer
from sam_jax.evaluation.points.sessions import (
    Picker,
    PointsConfig,
    choose_masks,
    click_objects,
    count_clicks,
)
from sam_jax.evaluation.points.summary import mean_curve, plot_clicks, tabulate_clicks
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError

SIZE = (33, 47)


def draw_blobs(seed, count):
    rng = np.random.default_rng(seed)
    return [gaussian_filter(rng.standard_normal(SIZE), 4) > 0.01 for _ in range(count)]


def make_example(masks, name="blobs"):
    return Example(name, np.zeros((*SIZE, 3), np.uint8), masks)


class Guess:
    """Answers with masks that depend on the clicks and the memory in a way that nobody would guess."""

    def __init__(self):
        self.calls = []

    def set_image(self, image):
        self.size = image.shape[:2]

    def answer(self, objects):
        self.calls.append([len(clicks.points) for clicks in objects])
        return [self.guess(clicks) for clicks in objects]

    def guess(self, clicks):
        text = f"{clicks.points.tolist()} {clicks.labels.tolist()} {clicks.memory}"
        rng = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
        count = 3 if clicks.memory is None else 2
        masks = np.stack(
            [gaussian_filter(rng.standard_normal(self.size), 4) > 0 for _ in range(count)]
        )
        return Answer(
            masks, rng.uniform(size=count), tuple(rng.integers(1000, size=count).tolist())
        )


class Reveal:
    """Answers with nothing, and with the truth from a certain click on."""

    def __init__(self, truths, click):
        self.truths, self.click = truths, click

    def set_image(self, image):
        pass

    def answer(self, objects):
        return [self.reveal(clicks) for clicks in objects]

    def reveal(self, clicks):
        x, y = clicks.points[0].astype(int)
        truth = next(truth for truth in self.truths if truth[y, x])
        mask = truth if len(clicks.points) >= self.click else np.zeros_like(truth)
        return Answer(mask[None], np.ones(1), (None,))


def play_slowly(method, truth, first, clicks, is_oracle):
    """One session, in full-size arrays and loops, with SciPy's distances."""
    points, labels, memory, ious = [first], [1], None, []
    while True:
        objects = [type("Clicks", (), {"points": np.array(points), "labels": np.array(labels)})()]
        objects[0].memory = memory
        (answer,) = method.answer(objects)
        all_ious = []
        for mask in answer.masks:
            both = sum(bool(a) and bool(b) for a, b in zip(mask.flat, truth.flat, strict=True))
            either = sum(bool(a) or bool(b) for a, b in zip(mask.flat, truth.flat, strict=True))
            all_ious.append(both / either)
        pick = int(np.argmax(all_ious if is_oracle else answer.scores))
        ious.append(all_ious[pick])
        if len(ious) == clicks:
            return ious, points, labels
        memory = answer.memories[pick]
        distances = []
        for region in (answer.masks[pick] & ~truth, truth & ~answer.masks[pick]):
            distance = np.asarray(distance_transform_edt(np.pad(region, 1)))[1:-1, 1:-1].copy()
            for x, y in points:
                distance[int(y), int(x)] = 0
            distances.append(distance)
        label = int(distances[1].max() > distances[0].max())
        row, column = np.unravel_index(distances[label].argmax(), truth.shape)
        points.append([float(column), float(row)])
        labels.append(label)


@pytest.fixture(scope="module")
def guessed():
    config = PointsConfig(clicks=4, noc_thresholds=())
    example = make_example(draw_blobs(0, 3))
    return example, click_objects(Guess(), example, 5, config)


def test_sessions_agree_with_a_slow_loop(guessed):
    example, record = guessed
    method = Guess()
    method.set_image(example.image)
    for found, truth in zip(record["masks"], example.masks, strict=True):
        for picker in Picker:
            ious, points, labels = play_slowly(
                method, truth, found["points"][0][:2], 4, picker is Picker.ORACLE
            )
            np.testing.assert_allclose(found[picker], ious, rtol=0, atol=1e-6)
            if picker is Picker.TRUSTED:
                clicks = [[*point, label] for point, label in zip(points, labels, strict=True)]
                assert found["points"] == clicks
    assert any(found["trusted"] != found["oracle"] for found in record["masks"])


def test_the_mean_agrees_with_a_slow_loop(guessed):
    _, record = guessed
    more = click_objects(
        Guess(), make_example(draw_blobs(1, 2)), 6, PointsConfig(clicks=4, noc_thresholds=())
    )
    for picker in Picker:
        for n, mean in enumerate(mean_curve([record, more], picker, 4)):
            total = count = 0
            for mask in record["masks"] + more["masks"]:
                total, count = total + mask[picker][n], count + 1
            assert abs(mean - total / count) < 1e-6


def test_records_are_json_and_keep_the_masks(guessed):
    example, record = guessed
    assert json.loads(json.dumps(record)) == record
    assert record["name"] == "blobs"
    assert record["size"] == list(SIZE)
    assert record["method_seconds"] > 0
    for found, truth in zip(record["masks"], example.masks, strict=True):
        assert found["area"] == truth.sum()
        for name, iou in (("first_mask", found["trusted"][0]), ("last_mask", found["trusted"][-1])):
            mask = decode_rle({"size": record["size"], "counts": found[name]})
            assert (mask & truth).sum() / (mask | truth).sum() == iou


@pytest.mark.parametrize("click", [1, 2, 7, 20])
def test_the_truth_after_k_clicks_counts_k(click):
    truths = [np.zeros(SIZE, bool) for _ in range(2)]
    truths[0][3:20, 2:18], truths[1][10:32, 20:46] = True, True
    config = PointsConfig()
    record = click_objects(Reveal(truths, click), make_example(truths), 0, config)
    for found in record["masks"]:
        assert found["trusted"] == [0.0] * (click - 1) + [1.0]
        assert count_clicks(found["trusted"], 0.85, 20) == click
    _, _, counts = tabulate_clicks([Measured("reveal", "squares", [record])], config)
    assert dict(zip(counts.columns, counts.rows[0], strict=True)) == {
        "method, data set": "reveal, squares",
        "images": 1,
        "masks": 2,
        "NoC@85": click,
        "failures@85": 0,
        "NoC@90": click,
        "failures@90": 0,
    }
    assert mean_curve([record], Picker.TRUSTED, 9) == [float(n >= click) for n in range(1, 10)]


def test_never_is_a_failure_at_the_limit():
    truths = [np.zeros(SIZE, bool)]
    truths[0][3:20, 2:18] = True
    config = PointsConfig(clicks=3, noc_limit=6)
    record = click_objects(Reveal(truths, 99), make_example(truths), 0, config)
    (found,) = record["masks"]
    assert found["trusted"] == [0.0] * 6
    assert found["oracle"] == [0.0] * 3
    _, _, counts = tabulate_clicks([Measured("never", "square", [record])], config)
    assert counts.rows[0] == ("never, square", 1, 1, 6, 1, 6, 1)


def test_no_more_clicks_than_are_wanted():
    example = make_example(draw_blobs(0, 2))
    method = Guess()
    record = click_objects(method, example, 0, PointsConfig(clicks=2, noc_thresholds=()))
    assert [len(found["trusted"]) for found in record["masks"]] == [2, 2]
    assert [set(counts) for counts in method.calls] == [{1}, {2}]


def test_an_object_is_the_same_whatever_else_is_measured():
    config = PointsConfig(clicks=3, first="random", noc_limit=5)
    masks = draw_blobs(3, 20)  # more than are in memory at once
    record = click_objects(Guess(), make_example(masks), 9, config)
    some = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    for index in (4, 17):
        alone = [mask if number == index else some[0] for number, mask in enumerate(masks)]
        (found,) = click_objects(Guess(), make_example(alone), 9, config)["masks"]
        assert found == record["masks"][index]


def test_first_clicks_at_random_are_drawn_by_seed_and_image():
    masks = draw_blobs(3, 4)

    def first(index, seed):
        config = PointsConfig(clicks=1, first="random", noc_thresholds=(), seed=seed)
        found = click_objects(Guess(), make_example(masks), index, config)["masks"]
        assert all(
            mask[int(y), int(x)] for mask, (x, y, _) in zip(masks, starts(found), strict=True)
        )
        return starts(found)

    def starts(found):
        return [one["points"][0] for one in found]

    assert first(0, 0) == first(0, 0)
    assert first(0, 0) != first(1, 0)
    assert first(0, 0) != first(0, 1)


def test_choice_of_masks():
    masks = [np.zeros(SIZE, bool) for _ in range(3)]
    masks[0][5:25, 10:30] = masks[1][10:33, 40:46] = masks[2][0:3, 0:3] = True
    example = make_example(masks)
    assert choose_masks(example, 0, PointsConfig(min_area=10)) == [0, 1]
    one = PointsConfig(masks_per_image=1)
    assert {tuple(choose_masks(example, index, one)) for index in range(20)} == {(0,), (1,), (2,)}
    assert choose_masks(example, 0, PointsConfig(min_area=10_000)) == []


def test_an_image_without_masks_counts_for_nothing():
    config = PointsConfig(clicks=2)
    empty = click_objects(Guess(), make_example([np.zeros(SIZE, bool)]), 0, config)
    assert empty["masks"] == []
    tables = tabulate_clicks([Measured("guess", "nothing", [empty])], config)
    assert tables[0].rows == (("guess, nothing", 0, 0, None, None),)
    assert tables[2].rows == (("guess, nothing", 0, 0, None, None, None, None),)
    (axes,) = plot_clicks([Measured("guess", "nothing", [empty])], config).axes
    assert len(axes.lines) == 1  # the legend's


def record_of(*curves):
    masks = [{"trusted": list(curve), "oracle": [1.0]} for curve in curves]
    return {"seconds": 3.0, "method_seconds": 2.0, "masks": masks}


def test_tables_of_known_numbers():
    config = PointsConfig(clicks=2, noc_thresholds=(0.85,), noc_limit=4)
    one = [record_of((0.5, 0.9), (0.1, 0.1, 0.1, 0.1)), record_of((1.0,))]
    two = [record_of((0.2, 0.4, 0.85))]
    results = [Measured("a", "one", one), Measured("b", "one", two), Measured("a", "two", two)]
    trusted, oracle, counts = tabulate_clicks(results, config)
    assert [row[0] for row in trusted.rows] == [
        "a, one",
        "a, two",
        "a, mean of 2 data sets",
        "b, one",
    ]
    assert trusted.columns == ("method, data set", "images", "masks", "1 click", "2 clicks")
    np.testing.assert_allclose(
        [row[1:] for row in trusted.rows],
        [
            [2, 3, 1.6 / 3, 2 / 3],
            [1, 1, 0.2, 0.4],
            [3, 4, (1.6 / 3 + 0.2) / 2, (2 / 3 + 0.4) / 2],
            [1, 1, 0.2, 0.4],
        ],
        rtol=1e-12,
    )
    assert oracle.rows[2][3:] == (1, 1)
    np.testing.assert_allclose(
        [row[3:] for row in counts.rows], [[7 / 3, 1 / 3], [3, 0], [8 / 3, 1 / 6], [3, 0]]
    )


def test_the_order_of_records_makes_no_difference():
    rng = np.random.default_rng(0)
    records = [record_of(*rng.uniform(size=(5, 9)).tolist()) for _ in range(30)]
    shuffled = [records[index] for index in rng.permutation(30)]
    config = PointsConfig()
    one, other = (
        tabulate_clicks([Measured("m", "d", some)], config) for some in (records, shuffled)
    )
    assert one == other


def test_the_plot_has_the_curves():
    config = PointsConfig(clicks=2)
    one, two = record_of((0.5, 1.0)), record_of((0.25,))
    results = [
        Measured("a & b", "<one>", [one]),
        Measured("c", "", []),
        Measured("d", "two", [two]),
    ]
    figure = plot_clicks(results, config)
    (axes,) = figure.axes
    curves = [line.get_ydata().tolist() for line in axes.lines[:4]]
    assert curves == [[0.5, 1.0], [1.0, 1.0], [0.25, 0.25], [1.0, 1.0]]
    assert [list(line.get_xdata()) for line in axes.lines[:4]] == [[1, 2]] * 4
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-", "--", "--"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["a & b, <one>", "d, two", "dashed: oracle"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clicks": 0}, "clicks is 0"),
        ({"masks_per_image": 0}, "masks_per_image is 0"),
        ({"noc_thresholds": (0.5, 85.0)}, "an IoU is above 0 and at most 1"),
    ],
)
def test_what_cannot_be_asked_for(options, message):
    with pytest.raises(InputError, match=message):
        PointsConfig(**options)


def test_a_truth_of_another_size():
    masks = [np.ones((47, 33), bool)]
    with pytest.raises(
        InputError, match="blobs: mask 0 is 33 wide and 47 high, but the image is 47"
    ):
        click_objects(Guess(), make_example(masks), 0, PointsConfig())


def test_an_answer_of_another_size():
    class Wrong(Guess):
        def set_image(self, image):
            self.size = (8, 9)

    with pytest.raises(InputError, match=r"masks of 9x8 pixels.*47x33"):
        click_objects(Wrong(), make_example(draw_blobs(0, 1)), 0, PointsConfig())
