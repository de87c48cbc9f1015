"""The edge experiment (SAM, section 7.2 and appendix D.2): ODS, OIS, AP and R50 on BSDS500."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from sam_jax.data.bsds500 import Outlined
from sam_jax.data.sources import open_boundaries
from sam_jax.evaluation.edges.benchmark import count_matches, score_edges, tabulate_edges
from sam_jax.evaluation.edges.curve import plot_precision_recall
from sam_jax.evaluation.edges.detection import EdgeConfig, canny_edges, detect_edges, sobel_edges
from sam_jax.evaluation.experiment import (
    INDEX,
    DataSet,
    Measured,
    Method,
    Summary,
    Track,
    check_method_names,
    copy_model,
    merge_settings,
    run_experiment,
    track_on_screen,
)
from sam_jax.evaluation.image_records import ImageRecord, digest_arrays
from sam_jax.evaluation.report import Case, Findings, pick_cases
from sam_jax.evaluation.splits import spread_evenly
from sam_jax.evaluation.timing import METHOD_SECONDS, Stopwatch, tabulate_time
from sam_jax.models import Model
from sam_jax.storage import locate

EdgeDetector = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "h w"]]
"""What is measured: from an RGB image to strengths of thin edges, 0 to 1."""

SAM = "sam"
_CLASSICAL: dict[str, EdgeDetector] = {"canny": canny_edges, "sobel": sobel_edges}
EDGE_METHODS = (SAM, *_CLASSICAL)
"""Names of the methods that `edge_methods` knows."""


def edge_methods(
    names: Sequence[str], model: Model | None = None, config: EdgeConfig | None = None
) -> list[Method[EdgeDetector]]:
    """Methods of the edge experiment by name.

    Args:
        names: Names from `EDGE_METHODS`.
        model: Model with its weights for the method `sam`; it is copied to every device of this machine.
        config: How the method `sam` finds masks; None for the paper's configuration.

    Raises:
        InputError: A name is unknown, or `sam` is among them and there is no model.
    """
    check_method_names(names, EDGE_METHODS)
    return [_make_method(name, model, config or EdgeConfig()) for name in names]


def open_edge_data(photos: Path | str, most: int | None = None) -> DataSet[Outlined]:
    """Open BSDS500 or a part of it.

    Args:
        photos: Folder of photos, such as `BSDS500/images/val`, with the truth in `groundTruth/` or `ground_truth/`
            beside `images/`.
        most: The most images to measure, spread evenly over the data set; None for all.

    Raises:
        InputError: The folder is missing or not in BSDS500's format, or `most` leaves no image.
    """
    photos = locate(photos)
    source = open_boundaries(photos)
    chosen = spread_evenly(range(len(source)), most)
    return DataSet(
        name=photos.name,
        images=[source.names[index] for index in chosen],
        settings={"place": str(photos.resolve())},
        read=lambda number: source[chosen[number]],
        digest=lambda photo: digest_arrays([photo.image, *photo.boundaries]),
        left_out=source.list_left_out(),
    )


def evaluate_edges(
    data: DataSet[Outlined],
    methods: Sequence[Method[EdgeDetector]],
    output: Path | str,
    *,
    pictures: int = 3,
    track: Track = track_on_screen,
) -> Findings:
    """Find the edges of photos with every method, and compare them with what people drew.

    Writes results.json, results.csv, precision_recall.svg and report.html. Called again with the same output, it goes
    on with the images that have no record yet.

    Example:
        ::

            from sam_jax import load
            from sam_jax.evaluation import edge_methods, evaluate_edges, open_edge_data

            data = open_edge_data("BSDS500/images/val", most=20)
            findings = evaluate_edges(data, edge_methods(["sam", "canny"], load()), "runs/edges")

    Args:
        data: Data set to measure on.
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
    experiment = _EdgeExperiment()
    return run_experiment(
        experiment,
        methods,
        [data],
        locate(output),
        settings={**experiment.settings, **data.settings, **merge_settings(methods)},
        pictures=pictures,
        track=track,
    )


class _EdgeExperiment:
    """The edge experiment as the loop wants it."""

    title = "Edges"

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"experiment": "edges"}

    def measure(self, answerer: EdgeDetector, item: Outlined) -> ImageRecord:
        watch = Stopwatch()
        with watch:
            edges = answerer(item.image)
        counts = count_matches(edges, np.stack(item.boundaries))
        return {"name": item.name, METHOD_SECONDS: watch.seconds, **counts}

    def summarise(self, results: Sequence[Measured]) -> Summary:
        known = [result for result in results if result.records]
        places = list(dict.fromkeys(result.data for result in known))
        names = [result.method if len(places) == 1 else result.label for result in known]
        by_name = dict(zip(names, (result.records for result in known), strict=True))
        scores = {name: score_edges(records) for name, records in by_name.items()}
        tables = [tabulate_edges(scores, ", ".join(places)), tabulate_time(by_name)]
        return Summary(tables, {"precision_recall": plot_precision_recall(scores)})

    def pick_cases(
        self,
        method: Method[EdgeDetector],
        data: DataSet[Outlined],
        records: Sequence[ImageRecord],
        most: int,
    ) -> dict[str, list[Case]]:
        """The images with the best, median and worst F-measure at thresholds of their own."""
        scores = [score_edges([record]).ods for record in records]
        cases = {}
        for name, numbers in pick_cases(scores, most)._asdict().items():
            some = []
            for number in numbers:
                photo = data.read(records[number][INDEX])
                truth = np.stack(photo.boundaries).astype(np.float32).mean(axis=0)
                pictures = (photo.image, _ink(method.copies[0](photo.image)), _ink(truth))
                some.append(Case(f"{photo.name}: F {scores[number]:.2f}", pictures))
            cases[f"{method.name}, {name}: photo, edges, truth of all people"] = some
        return cases


def _make_method(name: str, model: Model | None, config: EdgeConfig) -> Method[EdgeDetector]:
    if name != SAM:
        return Method(name=name, copies=[_CLASSICAL[name]], has_cases=False)
    models, settings = copy_model(model, name)
    copies = [partial(detect_edges, one, config=config) for one in models]
    return Method(name=name, copies=copies, settings={"config": asdict(config), **settings})


def _ink(strength: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Edges as dark lines on white; faint ones are still visible."""
    grey = np.round(255 * (1 - np.sqrt(strength))).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
