"""The loop over methods, data sets and images, with an experiment that squares numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam_jax import InputError
from sam_jax.evaluation.experiment import (
    INDEX,
    DataSet,
    Method,
    Summary,
    check_method_names,
    merge_settings,
    run_experiment,
)
from sam_jax.evaluation.plots import new_plot
from sam_jax.evaluation.report import Case
from sam_jax.evaluation.tables import Table
from sam_jax.evaluation.timing import METHOD_SECONDS, SECONDS


class Powers:
    """Asks a function about a number, and notes which numbers it was asked about."""

    title = "Powers"
    settings = {"experiment": "powers"}  # noqa: RUF012

    def __init__(self):
        self.asked = []

    def measure(self, answerer, item):
        self.asked.append(item)
        if item == 13:
            raise InputError("13 is unlucky")
        return {"answer": answerer(item), METHOD_SECONDS: 0.5}

    def summarise(self, results):
        rows = [(one.label, *(record["answer"] for record in one.records)) for one in results]
        figure, axes = new_plot(2.0, 1.5)
        axes.plot([0, 1], [1, 0])
        table = Table("Answers", ("method, data set", "1", "2"), tuple(rows))
        return Summary([table], {"line": figure}, {"all.json": rows})

    def pick_cases(self, method, data, records, most):
        shown = np.zeros((4, 6, 3), np.uint8)
        captions = [str(data.read(record[INDEX])) for record in records[:most]]
        return {f"{method.name} on {data.name}": [Case(text, (shown,)) for text in captions]}


def make_data(name="small", numbers=(2, 3)):
    numbers = list(numbers)
    return DataSet(
        name=name,
        images=[f"number {number}" for number in numbers],
        settings={"place": name},
        read=lambda index: numbers[index],
        digest=str,
    )


SQUARE = Method(name="square", copies=[lambda x: x**2], settings={"power": 2})
CUBE = Method(name="cube", copies=[lambda x: x**3] * 2, settings={"power": 3}, has_cases=False)


def run(experiment, methods, data, output, **more):
    options = {"settings": {"seed": 3}, "pictures": 1, "track": lambda outcomes, *_: outcomes}
    return run_experiment(experiment, methods, data, output, **options | more)


def test_every_method_on_every_data_set(tmp_path):
    data = [make_data(), make_data("large", (10, 20))]
    findings = run(Powers(), [SQUARE, CUBE], data, tmp_path)
    assert findings.problems == []
    assert findings.tables[0].rows == (
        ("square, small", 4, 9),
        ("square, large", 100, 400),
        ("cube, small", 8, 27),
        ("cube, large", 1000, 8000),
    )
    assert {name: [case.caption for case in some] for name, some in findings.cases.items()} == {
        "square on small": ["2"],
        "square on large": ["10"],
    }
    record = json.loads((tmp_path / "large" / "cube" / "records" / "000001.json").read_text())
    assert (record["answer"], record[INDEX], record[METHOD_SECONDS]) == (8000, 1, 0.5)
    assert record[SECONDS] >= 0
    assert json.loads((tmp_path / "large" / "cube" / "settings.json").read_text()) == {
        "experiment": "powers",
        "place": "large",
        "power": 3,
        "images": ["number 10", "number 20"],
    }


def test_the_files_that_are_left(tmp_path):
    findings = run(Powers(), [SQUARE], [make_data()], tmp_path)
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {"results.json", "results.csv", "report.html", "line.svg", "all.json"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == {
        "settings": {"seed": 3},
        "tables": [
            {"title": "Answers", "rows": [{"method, data set": "square, small", "1": 4, "2": 9}]}
        ],
    }
    assert json.loads((tmp_path / "all.json").read_text()) == [["square, small", 4, 9]]
    svg = (tmp_path / "line.svg").read_text()
    page = (tmp_path / "report.html").read_text()
    assert svg[svg.index("<svg") :] in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert findings.title in page


def test_what_has_a_record_is_not_measured_again(tmp_path):
    first = Powers()
    run(first, [SQUARE], [make_data()], tmp_path)
    assert sorted(first.asked) == [2, 3]
    (tmp_path / "small" / "square" / "records" / "000000.json").unlink()
    again = Powers()
    findings = run(again, [SQUARE, CUBE], [make_data()], tmp_path)
    assert sorted(again.asked) == [2, 2, 3]
    assert findings.tables[0].rows[0] == ("square, small", 4, 9)


def test_records_of_other_settings_are_not_mixed(tmp_path):
    run(Powers(), [SQUARE], [make_data()], tmp_path)
    other = Method(name="square", copies=SQUARE.copies, settings={"power": 2.5})
    with pytest.raises(InputError, match=r"other settings \(power;"):
        run(Powers(), [other], [make_data()], tmp_path)


def test_an_image_that_cannot_be_measured(tmp_path):
    findings = run(Powers(), [SQUARE], [make_data(numbers=(13, 4, 5))], tmp_path)
    assert findings.problems == ["13 is unlucky"]
    assert findings.tables[0].rows == (("square, small", 16, 25),)
    with pytest.raises(InputError, match="no image could be measured: 13 is unlucky"):
        run(Powers(), [SQUARE], [make_data("none", (13,))], tmp_path)


def test_no_pictures(tmp_path):
    assert run(Powers(), [SQUARE], [make_data()], tmp_path, pictures=0).cases == {}


def test_progress_is_told(tmp_path):
    told = []

    def track(outcomes, total, done_before, label):
        names = [outcome.name for outcome in outcomes]
        told.append((names, total, done_before, label))
        return iter(())

    run(Powers(), [SQUARE], [make_data()], tmp_path)
    (Path(tmp_path) / "small" / "square" / "records" / "000001.json").unlink()
    run(Powers(), [SQUARE], [make_data()], tmp_path, track=track)
    assert told == [(["number 3"], 2, 1, "square on small")]


def test_settings_of_all_methods():
    sam = Method(name="sam", copies=[abs], settings={"weights": "a", "side": 4})
    other = Method(name="other", copies=[abs], settings={"weights": "b", "side": 4})
    plain = Method(name="plain", copies=[abs])
    assert merge_settings([plain, sam]) == {"weights": "a", "side": 4}
    assert merge_settings([sam, other]) == {"weights": {"sam": "a", "other": "b"}, "side": 4}


def test_names_of_methods():
    check_method_names(["b", "a"], ("a", "b"))
    with pytest.raises(InputError, match="no method is called 'c'; there are a, b"):
        check_method_names(["a", "c"], ("a", "b"))


def test_another_method_keeps_the_rows_of_the_first(tmp_path):
    run(Powers(), [SQUARE], [make_data()], tmp_path)
    experiment = Powers()
    findings = run(experiment, [CUBE], [make_data()], tmp_path)
    assert experiment.asked == [2, 3]
    assert findings.tables[0].rows == (("square, small", 4, 9), ("cube, small", 8, 27))
    assert findings.settings["earlier"]["square, small"]["power"] == 2
    again = run(Powers(), [SQUARE], [make_data()], tmp_path)
    assert {row[0] for row in again.tables[0].rows} == {"square, small", "cube, small"}
    both = run(Powers(), [SQUARE, CUBE], [make_data("large", (10, 20))], tmp_path)
    assert len(both.tables[0].rows) == 4
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["tables"][0]["rows"]) == 4


def test_rows_of_other_settings_do_not_mix(tmp_path):
    run(Powers(), [SQUARE], [make_data()], tmp_path)
    experiment = Powers()
    experiment.settings = {"experiment": "roots"}
    with pytest.raises(InputError, match=r"made with other settings \(experiment"):
        run(experiment, [CUBE], [make_data()], tmp_path)
    assert experiment.asked == []


def test_an_image_that_was_replaced_is_measured_again(tmp_path):
    run(Powers(), [SQUARE], [make_data()], tmp_path)
    experiment = Powers()
    data = replace(make_data(), read=lambda index: (2, 5)[index])
    findings = run(experiment, [SQUARE], [data], tmp_path)
    assert experiment.asked == [5]
    assert findings.tables[0].rows == (("square, small", 4, 25),)


def test_what_is_left_out_is_said_before_and_notes_are_after(tmp_path, capsys):
    data = replace(
        make_data(), left_out=["b.jpg: no mask"], list_notes=lambda item: [f"{item} is soft"]
    )
    findings = run(Powers(), [SQUARE], [data], tmp_path)
    assert "small: left out 1 (b.jpg: no mask)" in capsys.readouterr().err
    assert findings.notes == ["2 is soft", "3 is soft"]
    assert run(Powers(), [SQUARE], [data], tmp_path).notes == findings.notes
