"""The loop that all experiments share: every method on every data set, image by image, and what comes of it.

The four experiments plug into it (`Experiment`): they say how one image is measured, and what all records mean.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
from rich.console import Console
from rich.progress import track as rich_track

from sam_jax.data.left_out import summarise_reasons
from sam_jax.distributed import check_shared, gather_texts
from sam_jax.evaluation.image_records import (
    ImageRecord,
    MeasureImage,
    Outcome,
    RecordedRun,
    read_records,
)
from sam_jax.evaluation.report import Case, Findings
from sam_jax.evaluation.tables import Table
from sam_jax.evaluation.timing import SECONDS, Stopwatch
from sam_jax.inference.loading import copy_to_devices
from sam_jax.inference.settings import SETTINGS, describe_model, keep_settings, read_settings
from sam_jax.models import Model
from sam_jax.storage import remove_leftovers
from sam_jax.types import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EARLIER = "earlier"
"""Key of the settings of results: what rows were made with that an earlier run has measured."""
NOTES = "notes"
"""Key of an image's record: choices that reading it had to make, a line for each; left out if there are none."""
CONTENT = "content"
"""Key of an image's record: digest of the photo and its truth."""
INDEX = "index"
"""Key of an image's record: the number of the image in its data set, for `DataSet.read`."""

Answerer = TypeVar("Answerer")
"""What an experiment asks for answers, such as a function from a photo to edges."""
Item = TypeVar("Item")
"""What an experiment measures at a time: a photo with its truth, in whatever form the experiment needs."""


@dataclass(frozen=True, kw_only=True)
class Method(Generic[Answerer]):
    """A method to measure.

    Attributes:
        name: Name of the method in tables, and of the folder of its records.
        copies: The method once for each device; each copy is asked about one image at a time.
        settings: What the answers depend on, as JSON can hold it, such as a configuration and a digest of the weights.
            Records of other settings are not mixed with those of these.
        has_cases: Whether the report shows pictures of the method's best, median and worst cases.
    """

    name: str
    copies: Sequence[Answerer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_cases: bool = True


@dataclass(frozen=True, kw_only=True)
class DataSet(Generic[Item]):
    """A data set, or a part of one, to measure on.

    Attributes:
        name: Name of the data set in tables, and of the folder of its records.
        images: Names of the images, for messages.
        settings: What else the truth depends on, as JSON can hold it, such as the place of the files.
        read: Function from the number of an image to the photo and its truth; raises `InputError` if they cannot be
            used.
        digest: Function from a photo with its truth to a digest of both, by which a record of other content is told.
        left_out: Reasons why photos or objects are left out, as far as they are known beforehand.
        list_notes: Function from a photo with its truth to the choices that reading it had to make.
    """

    name: str
    images: Sequence[str]
    settings: Mapping[str, Any]
    read: Callable[[int], Item]
    digest: Callable[[Item], str]
    left_out: Sequence[str] = ()
    list_notes: Callable[[Item], Sequence[str]] = lambda item: ()


class ModelCopies(NamedTuple):
    """A model on every device of this machine.

    Attributes:
        models: The model on each device.
        settings: Sizes of the model and a digest of its weights, for `Method.settings`.
    """

    models: list[Model]
    settings: dict[str, Any]


class Measured(NamedTuple):
    """One method on one data set.

    Attributes:
        method: Name of the method.
        data: Name of the data set.
        records: Records of all images that have one, in the images' order.
    """

    method: str
    data: str
    records: Sequence[ImageRecord]

    @property
    def label(self) -> str:
        """How rows of tables call it."""
        return f"{self.method}, {self.data}"


class Earlier(NamedTuple):
    """One method on one data set, as an earlier run has measured it in the same folder.

    Attributes:
        measured: Its records.
        settings: What the records depend on.
    """

    measured: Measured
    settings: dict[str, Any]


class Summary(NamedTuple):
    """What all records of an experiment say together.

    Attributes:
        tables: Tables of results.
        plots: Plots, by the name of their file without its ending.
        documents: Further results as JSON can hold them, by the name of their file.
    """

    tables: list[Table]
    plots: Mapping[str, "Figure"] = {}
    documents: Mapping[str, Any] = {}


@runtime_checkable
class Experiment(Protocol[Answerer, Item]):
    """What an experiment adds to the loop."""

    @property
    def title(self) -> str:
        """Title of the report."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What every record depends on, whatever the method and the data set."""
        ...

    def measure(self, answerer: Answerer, item: Item) -> ImageRecord:
        """Measure one image.

        Returns:
            The record, with `METHOD_SECONDS` among its keys.

        Raises:
            InputError: The image or the answer cannot be used.
        """
        ...

    def summarise(self, results: Sequence[Measured]) -> Summary:
        """Say what the records mean; one of `results` at least has records."""
        ...

    def pick_cases(
        self,
        method: Method[Answerer],
        data: DataSet[Item],
        records: Sequence[ImageRecord],
        most: int,
    ) -> dict[str, list[Case]]:
        """Draw the best, median and worst cases, at most `most` of each, under headings."""
        ...


Track = Callable[[Iterable[Outcome], int, int, str], Iterable[Outcome]]
"""Shows progress while it hands outcomes on; gets them, the number of images, how many were done before, a label."""


def track_on_screen(
    outcomes: Iterable[Outcome], total: int, done_before: int, label: str
) -> Iterator[Outcome]:
    """A progress bar on the error stream, where that is a terminal."""
    screen = Console(stderr=True)
    return iter(
        rich_track(
            outcomes,
            label,
            total=total,
            completed=done_before,
            console=screen,
            disable=not screen.is_terminal,
        )
    )


def run_experiment(
    experiment: Experiment[Answerer, Item],
    methods: Sequence[Method[Answerer]],
    data: Sequence[DataSet[Item]],
    output: Path,
    *,
    settings: Mapping[str, Any],
    pictures: int,
    track: Track,
) -> Findings:
    """Measure every method on every data set, and write what comes of it.

    Methods and data sets that an earlier run has measured in this folder keep their rows.

    Of several processes (`jax.process_count()`) each measures its share of the images, and the first one writes the
    results. Images that have a record in `output` already are not measured again.

    Args:
        experiment: The experiment.
        methods: Methods to measure.
        data: Data sets to measure on.
        output: Folder of the results; the records go into a folder for each data set and method in it.
        settings: What the results were made with, to be told with them.
        pictures: The most cases of each kind that the report shows.
        track: Shows progress.

    Returns:
        What was found, also about the images that could not be measured.

    Raises:
        InputError: No image at all could be measured, or the folder holds records made with other settings or cannot be
            written to.
        RunError: The results cannot be written.
    """
    check_shared(output)
    remove_leftovers(output)
    _tell_left_out(data)
    earlier = _read_earlier(experiment, methods, data, output)
    results: list[Measured] = []
    cases: dict[str, list[Case]] = {}
    problems: list[str] = []
    notes: list[str] = []
    is_first = jax.process_index() == 0
    for method in methods:
        for images in data:
            records, some_problems = _measure(experiment, method, images, output, track)
            results.append(Measured(method.name, images.name, records))
            notes += [note for record in records for note in record.get(NOTES, ())]
            problems += some_problems
            if method.has_cases and pictures > 0 and is_first:
                cases |= experiment.pick_cases(method, images, records, pictures)
    if not any(result.records for result in results):
        raise InputError("no image could be measured: " + "; ".join(problems))
    summary = experiment.summarise([*(one.measured for one in earlier), *results])
    findings = Findings(
        title=experiment.title,
        tables=summary.tables,
        plots=summary.plots,
        documents=summary.documents,
        cases=cases,
        settings={
            **settings,
            **({EARLIER: {one.measured.label: one.settings for one in earlier}} if earlier else {}),
        },
        problems=problems,
        notes=list(dict.fromkeys(notes)),
    )
    if is_first:
        findings.write(output)
    return findings


def _tell_left_out(data: Sequence[DataSet[Any]]) -> None:
    """Say on the error stream, before anything is measured, what of the data sets is known to be of no use."""
    screen = Console(stderr=True, markup=False, highlight=False, quiet=jax.process_index() != 0)
    for images in data:
        if images.left_out:
            reasons = summarise_reasons(images.left_out)
            screen.print(f"{images.name}: left out {reasons}", soft_wrap=True)


def merge_settings(methods: Sequence[Method[Any]]) -> dict[str, Any]:
    """The settings of all methods together; a setting that differs among methods is given by method."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for method in methods for name in method.settings):
        values = {m.name: m.settings[name] for m in methods if name in m.settings}
        first = next(iter(values.values()))
        merged[name] = first if all(value == first for value in values.values()) else values
    return merged


def check_method_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names that no method has.

    Raises:
        InputError: There is such a name.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"no method is called {unknown[0]!r}; there are {', '.join(known)}")


def copy_model(model: Model | None, method: str) -> ModelCopies:
    """Copy the model that a method needs to all devices of this machine.

    Raises:
        InputError: There is no model.
    """
    if model is None:
        raise InputError(f"the method {method!r} needs a model")
    return ModelCopies(copy_to_devices(model), describe_model(model))


def _read_earlier(
    experiment: Experiment[Answerer, Item],
    methods: Sequence[Method[Answerer]],
    data: Sequence[DataSet[Item]],
    output: Path,
) -> list[Earlier]:
    """What earlier runs have measured in a folder beside what is measured now, sorted by data set and method.

    Raises:
        InputError: They had other settings, so that their rows would not stand beside those of this run.
    """
    now = {output / images.name / method.name for images in data for method in methods}
    places = {images.name: images.settings.get("place") for images in data}
    expected = json.loads(json.dumps(experiment.settings))
    found = []
    for path in sorted(output.glob(f"*/*/{SETTINGS}")):
        if path.parent in now:
            continue
        settings = read_settings(path)
        name = path.parent.parent.name
        other = [key for key in expected if settings.get(key) != expected[key]]
        if name in places and settings.get("place") != places[name]:
            other.append("place")
        if other:
            raise InputError(
                f"{path.parent} holds results made with other settings ({', '.join(other)}; see {SETTINGS}); "
                "name another --output, or delete it"
            )
        count = len(settings.pop("images", []))
        records = read_records(path.parent, count)
        if records:
            found.append(Earlier(Measured(path.parent.name, name, records), settings))
    return found


def _measure(
    experiment: Experiment[Answerer, Item],
    method: Method[Answerer],
    data: DataSet[Item],
    output: Path,
    track: Track,
) -> tuple[list[ImageRecord], list[str]]:
    """The records of one method on one data set, and the problems of the images without."""
    folder = output / data.name / method.name
    depends_on = {**experiment.settings, **data.settings, **method.settings}
    keep_settings(folder, depends_on | {"images": list(data.images)})
    workers = [_make_worker(experiment, copy, data) for copy in method.copies]
    run = RecordedRun(
        data.images,
        workers,
        folder,
        lambda record: record.get(CONTENT) == data.digest(data.read(record[INDEX])),
        jax.process_index(),
        jax.process_count(),
    )
    total = len(run.to_do) + run.done_before
    outcomes = track(run, total, run.done_before, f"{method.name} on {data.name}")
    problems = [outcome.problem for outcome in outcomes if outcome.problem is not None]
    # All processes come here before any reads what all have written.
    of_all = [json.loads(text) for text in gather_texts(json.dumps(problems))]
    return run.read_records(), [problem for some in of_all for problem in some]


def _make_worker(
    experiment: Experiment[Answerer, Item], copy: Answerer, data: DataSet[Item]
) -> MeasureImage:
    def measure(number: int) -> ImageRecord:
        watch = Stopwatch()
        with watch:
            item = data.read(number)
            record = experiment.measure(copy, item)
        about = {SECONDS: watch.seconds, **record, INDEX: number, CONTENT: data.digest(item)}
        notes = list(data.list_notes(item))
        return {**about, NOTES: notes} if notes else about

    return measure
