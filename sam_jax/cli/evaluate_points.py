"""`sam-jax evaluate points`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from sam_jax.cli.evaluation import INDEX, Findings, Measured, Work, measure, tabulate_time, tell
from sam_jax.evaluation.click_results import Measured as ClickResults
from sam_jax.evaluation.click_results import draw_curve, summarise
from sam_jax.evaluation.datasets import Split, open_splits
from sam_jax.evaluation.interactive import InteractiveConfig, measure_image
from sam_jax.evaluation.methods import METHODS, SAM, Method, make_method
from sam_jax.evaluation.report import Case, pick_cases
from sam_jax.evaluation.runs import Measure, Record
from sam_jax.inference import SamPredictor
from sam_jax.inference.overlay import draw_overlay
from sam_jax.inference.settings import describe_model
from sam_jax.ops.rle import Rle, decode_rle
from sam_jax.types import InputError

if TYPE_CHECKING:
    from sam_jax.cli.evaluate import Points


def evaluate_points(options: "Points", config: InteractiveConfig) -> None:
    """Measure every method on every data set.

    Raises:
        InputError: an option makes no sense, a data set cannot be opened, or some of its images cannot be used.
    """
    strange = [name for name in options.methods if name not in METHODS]
    if strange:
        raise InputError(f"no method is called {strange[0]!r}; there are {', '.join(METHODS)}")
    options.start()
    splits = open_splits(options.splits, options.images)
    models = options.load_models() if SAM in options.methods else []
    settings: dict[str, Any] = {"experiment": "points", "config": asdict(config)}
    of_model = describe_model(models[0]) if models else {}
    results: list[ClickResults] = []
    problems: list[str] = []
    cases: dict[str, list[Case]] = {}
    for name in options.methods:
        for split in splits:
            predictors = [SamPredictor(model) for model in models] if name == SAM else [None]
            workers = [_worker(split, make_method(name, one), config) for one in predictors]
            images = [f"image {index} of {split.name}" for index in split.indices]
            depends_on = settings | {"place": split.place} | (of_model if name == SAM else {})
            found = measure(Work(name, split.name, images, workers, depends_on), options.output)
            problems += found.problems
            results.append(ClickResults(name, split.name, found.records))
            if name == SAM:
                cases |= _pick_cases(split, found, options.pictures_here())
    curves = {"clicks": draw_curve(results, config)}
    times = tabulate_time({f"{one.method}, {one.data}": one.records for one in results})
    tables = [*summarise(results, config), times]
    findings = Findings("Segmenting by clicks", tables, curves, cases)
    settings |= of_model | {"places": {split.name: split.place for split in splits}}
    tell(findings, options.output, settings, problems)


def _worker(split: Split, method: Method, config: InteractiveConfig) -> Measure:
    def measure(number: int) -> Record:
        index = split.indices[number]
        return measure_image(method, split.source[index], index, config)

    return measure


def _pick_cases(split: Split, found: Measured, most: int) -> dict[str, list[Case]]:
    """Pictures of the objects whose masks are best, median and worst after the first click."""
    clicked = [(record, mask) for record in found.records for mask in record["masks"]]
    ranks = pick_cases([mask["trusted"][0] for _, mask in clicked], most)
    return {
        f"{split.name}, {name} after the first click: answer and truth": [
            _draw_case(split, *clicked[number]) for number in numbers
        ]
        for name, numbers in ranks._asdict().items()
    }


def _draw_case(split: Split, record: Record, clicked: dict[str, Any]) -> Case:
    example = split.source[split.indices[record[INDEX]]]
    answer = decode_rle(Rle(size=record["size"], counts=clicked["first_mask"]))
    *point, label = clicked["points"][0]
    marks = {"points": np.array([point], np.float64), "labels": np.array([label])}
    pictures = tuple(
        draw_overlay(example.image, mask[None], **marks)
        for mask in (answer, example.masks[clicked["mask"]])
    )
    return Case(f"{record['name']}: IoU {clicked['trusted'][0]:.2f}", pictures)
