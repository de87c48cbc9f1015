"""The instance experiment (SAM, section 7.4 and appendix D.4): AP of masks from a detector's boxes."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sam_jax.data.coco import find_photo, find_photo_folder, read_coco_photo
from sam_jax.data.coco_file import CocoAnnotations, photo_places
from sam_jax.data.hints import read_hints
from sam_jax.evaluation.coco_truth import encode_object, encode_objects
from sam_jax.evaluation.experiment import (
    INDEX,
    DataSet,
    Measured,
    Method,
    Summary,
    Track,
    copy_model,
    run_experiment,
    track_on_screen,
)
from sam_jax.evaluation.image_records import ImageRecord, digest_arrays
from sam_jax.evaluation.instances.box_masks import (
    BoxPredictor,
    InstanceConfig,
    list_results,
    segment_detections,
    tabulate_precision,
)
from sam_jax.evaluation.instances.detections import Detection, Detections
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.evaluation.report import Case, Findings, pick_cases
from sam_jax.evaluation.splits import spread_evenly
from sam_jax.evaluation.timing import tabulate_time
from sam_jax.inference import SamPredictor
from sam_jax.inference.overlay import draw_everything
from sam_jax.models import Model
from sam_jax.ops.rle import decode_rle
from sam_jax.storage import locate

DETECTIONS = "detections.json"
"""Name of the file with all masks, a results file in COCO's format."""


def instance_method(model: Model) -> Method[BoxPredictor]:
    """Segment Anything as the method of the instance experiment.

    Args:
        model: Model with its weights; it is copied to every device of this machine.
    """
    models, settings = copy_model(model, "sam")
    return Method(name="sam", copies=[SamPredictor(one) for one in models], settings=settings)


def evaluate_instances(
    truth: CocoAnnotations,
    detections: Detections,
    method: Method[BoxPredictor],
    config: InstanceConfig,
    output: Path | str,
    *,
    most: int | None = None,
    pictures: int = 3,
    track: Track = track_on_screen,
) -> Findings:
    """Turn boxes into masks, and measure the AP of COCO or LVIS.

    Writes results.json, results.csv, detections.json (all masks, a results file in COCO's format) and report.html.
    Called again with the same output, it goes on with the images that have no record yet.

    Example:
        ::

            from pathlib import Path

            from sam_jax import load
            from sam_jax.evaluation import (
                InstanceConfig, evaluate_instances, instance_method, read_truth, truth_detections
            )

            truth = read_truth(Path("instances_val2017.json"))
            findings = evaluate_instances(
                truth, truth_detections(truth), instance_method(load()), InstanceConfig(), "runs/instances"
            )

    Args:
        truth: Truth in COCO's or LVIS' format, with its photos in one of the usual places near the file.
        detections: Boxes of a detector, or those of the truth.
        method: Method to measure.
        config: How masks are made from boxes.
        output: Folder of the results.
        most: The most images to measure, spread evenly over the data set; None for all.
        pictures: The most best, median and worst cases that the report shows.
        track: Shows progress.

    Returns:
        Tables and all else that was found, also about the images that could not be measured.

    Raises:
        InputError: No photo is in the usual places, no image could be measured, or the output holds results made with
            other settings or cannot be written to.
        RunError: The results cannot be written.
    """
    experiment = _InstanceExperiment(truth, config)
    data = _as_data_set(truth, detections, most)
    return run_experiment(
        experiment,
        [replace(method, name=f"{method.name}, boxes of {detections.source}")],
        [data],
        locate(output),
        settings={**experiment.settings, **data.settings, **method.settings},
        pictures=pictures,
        track=track,
    )


class _Photo(NamedTuple):
    """A photo with a detector's boxes."""

    name: str
    notes: Sequence[str]
    image: UInt8[np.ndarray, "h w 3"]
    image_id: int | float | str
    detections: list[Detection]


class _InstanceExperiment:
    """The instance experiment as the loop wants it."""

    title = "Instances from boxes"

    def __init__(self, truth: CocoAnnotations, config: InstanceConfig) -> None:
        self._truth = truth
        self._config = config
        self.settings: dict[str, Any] = {"experiment": "instances", "config": asdict(config)}

    def measure(self, answerer: BoxPredictor, item: _Photo) -> ImageRecord:
        return segment_detections(
            answerer, item.image, item.image_id, item.detections, self._config
        )

    def summarise(self, results: Sequence[Measured]) -> Summary:
        measured = [result for result in results if result.records]
        tables = [tabulate_precision(one.records, self._truth, one.method) for one in measured]
        times = tabulate_time({one.label: one.records for one in measured})
        newest = list_results(results[-1].records)
        return Summary([*tables, times], documents={DETECTIONS: newest})

    def pick_cases(
        self,
        method: Method[BoxPredictor],
        data: DataSet[_Photo],
        records: Sequence[ImageRecord],
        most: int,
    ) -> dict[str, list[Case]]:
        """The images whose objects are masked best, medium and worst."""
        truths = encode_objects(self._truth, {record["image_id"] for record in records})
        scores, shown = [], []
        for record in records:
            masks = truths[record["image_id"]]
            answers = [instance["segmentation"] for instance in record["instances"]]
            if masks:
                scores.append(float(rle_ious(answers, masks).max(axis=0, initial=0).mean()))
                shown.append((record[INDEX], answers, masks))
        cases: dict[str, list[Case]] = {}
        for name, numbers in pick_cases(scores, most)._asdict().items():
            some = []
            for number in numbers:
                index, *both = shown[number]
                photo = data.read(index)
                pictures = tuple(
                    draw_everything(photo.image, [decode_rle(rle) for rle in rles]) for rles in both
                )
                some.append(Case(f"{photo.name}: mean IoU {scores[number]:.2f}", pictures))
            cases[f"{name}: answer and truth"] = some
        return cases


def _as_data_set(
    truth: CocoAnnotations, detections: Detections, most: int | None
) -> DataSet[_Photo]:
    folder = find_photo_folder(truth.path, truth.images)
    chosen = [truth.images[index] for index in spread_evenly(range(len(truth.images)), most)]
    hints = read_hints(truth.path)
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in truth.annotations:
        by_image[annotation["image_id"]].append(annotation)
    names = [photo_places(image)[0] for image in chosen]

    def read(number: int) -> _Photo:
        image = chosen[number]
        path = find_photo(truth.path, image, folder)
        photo = read_coco_photo(path, image, truth.path, hints)
        for annotation in by_image.get(image["id"], []):
            encode_object(annotation, photo.size)  # so that none stops the measuring at the end
        boxes = detections.by_image.get(image["id"], [])
        return _Photo(names[number], photo.notes, photo.pixels, image["id"], boxes)

    return DataSet(
        name=truth.path.stem,
        images=names,
        settings={
            "place": str(truth.path.resolve()),
            "boxes": detections.source,
            "boxes_hash": hashlib.sha256(repr(detections.by_image).encode()).hexdigest(),
        },
        read=read,
        digest=lambda photo: digest_arrays([photo.image]),
        left_out=[*truth.left_out, *detections.skipped],
        list_notes=lambda photo: photo.notes,
    )
