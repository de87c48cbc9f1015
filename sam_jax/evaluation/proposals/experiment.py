"""The proposal experiment (SAM, section 7.3 and appendix D.3): average recall of 10, 100 and 1000 masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.data.coco import CocoJson
from sam_jax.data.coco_file import read_coco_json
from sam_jax.data.example import Example
from sam_jax.evaluation.coco_truth import ObjectTruth, list_objects
from sam_jax.evaluation.experiment import (
    INDEX,
    DataSet,
    Measured,
    Method,
    Summary,
    Track,
    merge_settings,
    run_experiment,
    track_on_screen,
)
from sam_jax.evaluation.image_records import ImageRecord
from sam_jax.evaluation.proposals.proposers import Proposer
from sam_jax.evaluation.proposals.recall import (
    LIMITS,
    average_recall,
    count_found,
    tabulate_recall,
)
from sam_jax.evaluation.report import Case, Findings, pick_cases
from sam_jax.evaluation.splits import Split, as_data_set
from sam_jax.evaluation.timing import METHOD_SECONDS, Stopwatch, tabulate_time
from sam_jax.inference.overlay import draw_everything
from sam_jax.ops.rle import decode_rle
from sam_jax.storage import locate


def evaluate_proposals(
    splits: Sequence[Split],
    methods: Sequence[Method[Proposer]],
    output: Path | str,
    *,
    pictures: int = 3,
    track: Track = track_on_screen,
) -> Findings:
    """Propose masks for photos with every method, and count how many of the true masks are among them.

    Writes results.json, results.csv and report.html. Called again with the same output, it goes on with the images that
    have no record yet.

    Example:
        ::

            from sam_jax import load
            from sam_jax.evaluation import evaluate_proposals, open_splits, proposal_methods

            splits = open_splits(["LVIS=lvis_v1_val.json"], most=20)
            findings = evaluate_proposals(splits, proposal_methods(["sam"], load()), "runs/proposals")

    Args:
        splits: Data sets to measure on. Areas and LVIS' frequencies are known if they are COCO or LVIS JSON files.
        methods: Methods to measure.
        output: Folder of the results.
        pictures: The most best, median and worst cases that the report shows.
        track: Shows progress.

    Returns:
        Tables and all else that was found, also about the images that could not be measured.

    Raises:
        InputError: No image could be measured, or the output holds results made with other settings or cannot be
            written to.
        RunError: The results cannot be written.
    """
    experiment = _ProposalExperiment()
    merged = merge_settings(methods)
    merged.pop("config", None)
    configs = {m.name: m.settings["config"] for m in methods if "config" in m.settings}
    places = {split.name: split.place for split in splits}
    return run_experiment(
        experiment,
        methods,
        [_as_data_set(split) for split in splits],
        locate(output),
        settings={**experiment.settings, **merged, "configs": configs, "places": places},
        pictures=pictures,
        track=track,
    )


class _Photo(NamedTuple):
    """A photo with its truth, and what is known of the true masks."""

    example: Example
    objects: list[ObjectTruth] | None


class _ProposalExperiment:
    """The proposal experiment as the loop wants it."""

    title = "Object proposals"

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"experiment": "proposals"}

    def measure(self, answerer: Proposer, item: _Photo) -> ImageRecord:
        watch = Stopwatch()
        with watch:
            proposals = answerer(item.example.image)
        counts = count_found(proposals, item.example, item.objects)
        return counts | {METHOD_SECONDS: watch.seconds}

    def summarise(self, results: Sequence[Measured]) -> Summary:
        by_label = {result.label: result.records for result in results}
        return Summary([tabulate_recall(by_label), tabulate_time(by_label)])

    def pick_cases(
        self,
        method: Method[Proposer],
        data: DataSet[_Photo],
        records: Sequence[ImageRecord],
        most: int,
    ) -> dict[str, list[Case]]:
        """The images of which the largest, a medium and the smallest share of masks is found."""
        measured = [record for record in records if record["groups"]["all"]["masks"]]
        recalls = [average_recall([record], LIMITS[-1]) or 0.0 for record in measured]
        what = "first proposals, twice as many as masks, and truth"
        cases: dict[str, list[Case]] = {}
        for name, numbers in pick_cases(recalls, most)._asdict().items():
            some = []
            for number in numbers:
                record = measured[number]
                example = data.read(record[INDEX]).example
                first = [decode_rle(rle) for rle in record["first"]]
                pictures = (draw_everything(example.image, first), _draw_truth(example))
                some.append(Case(f"{example.name}: AR {recalls[number]:.2f}", pictures))
            cases[f"{method.name}, {data.name}, {name}: {what}"] = some
        return cases


def _as_data_set(split: Split) -> DataSet[_Photo]:
    objects = None
    if isinstance(split.source, CocoJson):
        objects = list_objects(read_coco_json(Path(split.source.name)))
    return as_data_set(
        split,
        lambda index: _Photo(split.source[index], None if objects is None else objects[index]),
        lambda photo: photo.example,
    )


def _draw_truth(example: Example) -> np.ndarray:
    masks = [example.masks[index] for index in range(len(example.masks))]
    return draw_everything(example.image, masks)
