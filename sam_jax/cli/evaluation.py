"""What the experiments of `sam-jax evaluate` share: going through images, and the files they leave."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from sam_jax.cli.progress_bar import photo_progress
from sam_jax.distributed import gather_texts
from sam_jax.evaluation.report import Case, write_report
from sam_jax.evaluation.results import Table, describe_table, format_csv, print_table
from sam_jax.evaluation.runs import Measure, Measurement, Record
from sam_jax.inference.settings import keep_settings
from sam_jax.storage import write_text
from sam_jax.types import InputError

SECONDS, METHOD_SECONDS = "seconds", "method_seconds"
"""Keys of a record: time for the image in all, and what part of it the measured method took."""

INDEX = "index"
"""Key of a record: which of the images that were to be measured it is of."""

RESULTS, SPREADSHEET, PAGE = "results.json", "results.csv", "report.html"


class Work(NamedTuple):
    """A method on a data set.

    Attributes:
        method: its name.
        data: the data set's.
        names: of the images.
        workers: that measure them, one for each device.
        settings: that the records depend on, beside the names.
    """

    method: str
    data: str
    names: Sequence[str]
    workers: Sequence[Measure]
    settings: dict[str, Any]


class Measured(NamedTuple):
    """What came of it.

    Attributes:
        records: of all images that have one.
        problems: why others have none.
    """

    records: list[Record]
    problems: list[str]


class Findings(NamedTuple):
    """What an experiment has to say.

    Attributes:
        title: of the page.
        tables: of results.
        curves: drawings, as SVG text by their name.
        cases: pictures under headings.
    """

    title: str
    tables: list[Table]
    curves: dict[str, str]
    cases: dict[str, list[Case]]


def measure(work: Work, output: Path) -> Measured:
    """Go through the images of this process that have no record yet, with a bar.

    Args:
        work: what to measure.
        output: folder of the experiment; records go to a folder in it for data set and method.

    Raises:
        InputError: the folder holds records made with other settings, or cannot be written to.
    """
    folder = output / work.data / work.method
    keep_settings(folder, work.settings | {"images": list(work.names)})
    run = Measurement(
        work.names,
        [_timed(worker) for worker in work.workers],
        folder,
        jax.process_index(),
        jax.process_count(),
    )
    problems: list[str] = []
    with photo_progress() as progress:
        total = len(run.to_do) + run.done_before
        label = f"{work.method} on {work.data}"
        for outcome in progress.track(run, total, completed=run.done_before, description=label):
            if outcome.problem is not None:
                problems.append(outcome.problem)
    # All processes come here before any reads what all have written.
    of_all = [json.loads(text) for text in gather_texts(json.dumps(problems))]
    return Measured(run.read_records(), [problem for some in of_all for problem in some])


def _timed(worker: Measure) -> Measure:
    def measure(index: int) -> Record:
        started = time.perf_counter()
        record = worker(index)
        return {SECONDS: time.perf_counter() - started, **record, INDEX: index}

    return measure


def timed_call(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """A function that notes how long each of its calls took."""

    def call(*arguments: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            seconds.append(time.perf_counter() - started)

    return call


def tabulate_time(records: Mapping[str, Sequence[Record]]) -> Table:
    """Seconds of the image in the middle, and what part of them the measured method took, by row label.

    Not the mean, since the first image of each size has compiling in it. Images without objects don't count.
    """
    rows = []
    for label, some in records.items():
        busy = [record for record in some if record[METHOD_SECONDS] > 0]
        if busy:
            middle = sorted(busy, key=lambda record: record[SECONDS])[len(busy) // 2]
            rows.append((label, middle[SECONDS], middle[METHOD_SECONDS] / middle[SECONDS]))
    columns = ("method, data set", "seconds an image", "share of the method")
    return Table("Time of the image in the middle; the rest is measuring", columns, tuple(rows))


def tell(
    findings: Findings, output: Path, settings: dict[str, Any], problems: Iterable[str]
) -> None:
    """Print the tables, and write them as JSON, CSV and a page with pictures; of several processes only the first does.

    Raises:
        InputError: something could not be measured (after all else is told), or the folder cannot be written to.
    """
    problems = list(problems)
    if jax.process_index() == 0:
        _write(findings, output, settings)
    if problems:
        raise InputError(f"{len(problems)} images have no results: " + "; ".join(problems))


def _write(findings: Findings, output: Path, settings: dict[str, Any]) -> None:
    for table in findings.tables:
        print_table(table)
    document = {
        "settings": settings,
        "tables": [describe_table(table) for table in findings.tables],
    }
    text = json.dumps(settings, indent=2)
    try:
        write_text(output / RESULTS, json.dumps(document, indent=1) + "\n")
        write_text(output / SPREADSHEET, format_csv(findings.tables, settings))
        for name, drawing in findings.curves.items():
            write_text(output / f"{name}.svg", drawing)
        write_report(
            output / PAGE,
            findings.title,
            findings.tables,
            curves=findings.curves.values(),
            cases=findings.cases,
            settings=text,
        )
    except OSError as error:
        raise InputError(f"cannot write to {output}: {error.strerror or error}") from error
    print(f"wrote {output / RESULTS}, {SPREADSHEET} and {PAGE}")
