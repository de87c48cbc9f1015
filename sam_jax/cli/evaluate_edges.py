"""`sam-jax evaluate edges`."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from sam_jax.cli.evaluation import (
    INDEX,
    METHOD_SECONDS,
    Findings,
    Measured,
    Work,
    measure,
    tabulate_time,
    tell,
)
from sam_jax.data.bsds500 import Bsds500Boundaries
from sam_jax.data.sources import open_boundaries
from sam_jax.evaluation.datasets import spread_evenly
from sam_jax.evaluation.edges.benchmark import measure_image, summarise, tabulate
from sam_jax.evaluation.edges.curve import draw_curves
from sam_jax.evaluation.edges.detection import (
    EdgeConfig,
    canny_edges,
    detect_edges,
    sobel_edges,
)
from sam_jax.evaluation.report import Case, pick_cases
from sam_jax.evaluation.runs import Measure, Record
from sam_jax.inference.settings import describe_model
from sam_jax.types import InputError

if TYPE_CHECKING:
    from sam_jax.cli.evaluate import Edges

SAM = "sam"
CLASSICAL = {"canny": canny_edges, "sobel": sobel_edges}
METHODS = (SAM, *CLASSICAL)

Detector = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "h w"]]


def evaluate_edges(options: "Edges") -> None:
    """Measure every method.

    Raises:
        InputError: an option makes no sense, the data set cannot be opened, or some of its images cannot be used.
    """
    strange = [name for name in options.methods if name not in METHODS]
    if strange:
        raise InputError(f"no method is called {strange[0]!r}; there are {', '.join(METHODS)}")
    options.start()
    source = open_boundaries(options.photos)
    chosen = spread_evenly(range(len(source)), options.images)
    config = EdgeConfig(points_per_side=options.points_per_side)
    models = options.load_models() if SAM in options.methods else []
    settings: dict[str, Any] = {"experiment": "edges", "place": str(options.photos.resolve())}
    of_model: dict[str, Any] = {}
    if models:
        of_model = {"config": asdict(config)} | describe_model(models[0])
    data = options.photos.name
    names = [source.names[index] for index in chosen]
    scores, times, cases, problems = {}, {}, {}, []
    for name in options.methods:
        detectors: list[Detector] = (
            [partial(detect_edges, model, config=config) for model in models]
            if name == SAM
            else [CLASSICAL[name]]
        )
        workers = [_worker(source, chosen, detector) for detector in detectors]
        depends_on = settings | (of_model if name == SAM else {})
        found = measure(Work(name, data, names, workers, depends_on), options.output)
        problems += found.problems
        if not found.records:
            continue
        scores[name] = summarise(found.records)
        times[name] = found.records
        if name == SAM:
            cases = _pick_cases(source, chosen, found, detectors[0], options.pictures_here())
    if not scores:
        raise InputError("no image could be measured: " + "; ".join(problems))
    tables = [tabulate(scores, data), tabulate_time(times)]
    findings = Findings("Edges", tables, {"precision_recall": draw_curves(scores)}, cases)
    tell(findings, options.output, settings | of_model, problems)


def _worker(source: Bsds500Boundaries, chosen: list[int], detector: Detector) -> Measure:
    def measure(number: int) -> Record:
        photo = source[chosen[number]]
        started = time.perf_counter()
        edges = detector(photo.image)
        seconds = time.perf_counter() - started
        counts = measure_image(edges, np.stack(photo.boundaries))
        return {"name": photo.name, METHOD_SECONDS: seconds, **counts}

    return measure


def _pick_cases(
    source: Bsds500Boundaries, chosen: list[int], found: Measured, detector: Detector, most: int
) -> dict[str, list[Case]]:
    """Pictures of the images with the best, median and worst F at thresholds of their own."""
    scores = [summarise([record]).ods for record in found.records]
    ranks = pick_cases(scores, most)
    cases = {}
    for name, numbers in ranks._asdict().items():
        some = []
        for number in numbers:
            record = found.records[number]
            photo = source[chosen[record[INDEX]]]
            truth = np.stack(photo.boundaries).astype(np.float32).mean(axis=0)
            pictures = (photo.image, _ink(detector(photo.image)), _ink(truth))
            some.append(Case(f"{photo.name}: F {scores[number]:.2f}", pictures))
        cases[f"{name}: photo, edges, truth of all people"] = some
    return cases


def _ink(strength: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Edges as dark lines on white; faint ones are still seen."""
    grey = np.round(255 * (1 - np.sqrt(strength))).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
