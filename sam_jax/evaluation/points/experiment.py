"""The point experiment (SAM, section 7.1 and appendix D.1): mIoU by number of clicks, and clicks to reach an IoU."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.data.example import Example
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
from sam_jax.evaluation.points.segmenters import ClickSegmenter
from sam_jax.evaluation.points.sessions import PointsConfig, click_objects
from sam_jax.evaluation.points.summary import plot_clicks, tabulate_clicks
from sam_jax.evaluation.report import Case, Findings, pick_cases
from sam_jax.evaluation.splits import Split, as_data_set
from sam_jax.evaluation.timing import tabulate_time
from sam_jax.inference.overlay import draw_overlay
from sam_jax.ops.rle import Rle, decode_rle
from sam_jax.storage import locate


def evaluate_points(
    splits: Sequence[Split],
    methods: Sequence[Method[ClickSegmenter]],
    config: PointsConfig,
    output: Path | str,
    *,
    pictures: int = 3,
    track: Track = track_on_screen,
) -> Findings:
    """Click the objects of data sets again and again, with every method.

    Writes results.json, results.csv, clicks.svg and report.html. Called again with the same output, it goes on with the
    images that have no record yet.

    Example:
        ::

            from sam_jax import load
            from sam_jax.evaluation import PointsConfig, evaluate_points, open_splits, point_methods

            findings = evaluate_points(
                open_splits(["nuclei=data/bbbc038@5"], most=20),
                point_methods(["sam", "felzenszwalb"], load()),
                PointsConfig(clicks=3),
                "runs/points",
            )
            print(findings.tables[0].rows)

    Args:
        splits: Data sets to measure on.
        methods: Methods to measure.
        config: How objects are clicked.
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
    experiment = _PointExperiment(config)
    places = {"places": {split.name: split.place for split in splits}}
    return run_experiment(
        experiment,
        methods,
        [_as_data_set(split) for split in splits],
        locate(output),
        settings=experiment.settings | merge_settings(methods) | places,
        pictures=pictures,
        track=track,
    )


class _Photo(NamedTuple):
    """A photo with its truth, and its number in the whole data set."""

    example: Example
    number: int


class _PointExperiment:
    """The point experiment as the loop wants it."""

    title = "Segmenting by clicks"

    def __init__(self, config: PointsConfig) -> None:
        self._config = config
        self.settings: dict[str, Any] = {"experiment": "points", "config": asdict(config)}

    def measure(self, answerer: ClickSegmenter, item: _Photo) -> ImageRecord:
        return click_objects(answerer, item.example, item.number, self._config)

    def summarise(self, results: Sequence[Measured]) -> Summary:
        times = tabulate_time({result.label: result.records for result in results})
        tables = [*tabulate_clicks(results, self._config), times]
        return Summary(tables, {"clicks": plot_clicks(results, self._config)})

    def pick_cases(
        self,
        method: Method[ClickSegmenter],
        data: DataSet[_Photo],
        records: Sequence[ImageRecord],
        most: int,
    ) -> dict[str, list[Case]]:
        """The objects whose masks are best, median and worst after the first click."""
        clicked = [(record, mask) for record in records for mask in record["masks"]]
        ranks = pick_cases([mask["trusted"][0] for _, mask in clicked], most)
        return {
            f"{method.name}, {data.name}, {name} after the first click: answer and truth": [
                _draw_case(data, *clicked[number]) for number in numbers
            ]
            for name, numbers in ranks._asdict().items()
        }


def _as_data_set(split: Split) -> DataSet[_Photo]:
    return as_data_set(
        split, lambda index: _Photo(split.source[index], index), lambda photo: photo.example
    )


def _draw_case(data: DataSet[_Photo], record: ImageRecord, clicked: dict[str, Any]) -> Case:
    example = data.read(record[INDEX]).example
    answer = decode_rle(Rle(size=record["size"], counts=clicked["first_mask"]))
    *point, label = clicked["points"][0]
    marks = {"points": np.array([point], np.float64), "labels": np.array([label])}
    pictures = tuple(
        draw_overlay(example.image, mask[None], **marks)
        for mask in (answer, example.masks[clicked["mask"]])
    )
    return Case(f"{record['name']}: IoU {clicked['trusted'][0]:.2f}", pictures)
