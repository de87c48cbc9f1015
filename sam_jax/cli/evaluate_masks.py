"""`sam-jax evaluate proposals` and `sam-jax evaluate instances`."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sam_jax.cli.evaluation import (
    INDEX,
    METHOD_SECONDS,
    Findings,
    Work,
    measure,
    tabulate_time,
    tell,
    timed_call,
)
from sam_jax.data.coco import CocoJson, find_photo_folder, photo_places
from sam_jax.data.example import Example
from sam_jax.evaluation import instances, proposals
from sam_jax.evaluation.coco_truth import CocoTruth, ObjectTruth, read_truth
from sam_jax.evaluation.datasets import Split, open_splits, spread_evenly
from sam_jax.evaluation.detections import Detections, read_detections, truth_detections
from sam_jax.evaluation.report import Case, pick_cases
from sam_jax.evaluation.runs import Measure, Record
from sam_jax.inference import SamPredictor
from sam_jax.inference.overlay import draw_everything
from sam_jax.inference.settings import describe_model
from sam_jax.ops.rle import decode_rle
from sam_jax.types import InputError

if TYPE_CHECKING:
    from sam_jax.cli.evaluate import Instances, Proposals

SAM, SAM_SINGLE, FELZENSZWALB = PROPOSERS = ("sam", "sam-single", "felzenszwalb")
DETECTIONS = "detections.json"
"""Masks as a results file in COCO's form."""


def evaluate_proposals(options: "Proposals") -> None:
    """Measure every method on every data set.

    Raises:
        InputError: an option makes no sense, a data set cannot be opened, or some of its images cannot be used.
    """
    strange = [name for name in options.methods if name not in PROPOSERS]
    if strange:
        raise InputError(f"no method is called {strange[0]!r}; there are {', '.join(PROPOSERS)}")
    options.start()
    splits = open_splits(options.splits, options.images)
    truths = [_read_objects(split) for split in splits]
    models = options.load_models() if {SAM, SAM_SINGLE} & set(options.methods) else []
    settings: dict[str, Any] = {"experiment": "proposals"}
    of_model = describe_model(models[0]) if models else {}
    configs: dict[str, Any] = {}
    results: dict[str, list[Record]] = {}
    problems: list[str] = []
    cases: dict[str, list[Case]] = {}
    for name in options.methods:
        config = proposals.ProposalConfig(
            points_per_side=options.points_per_side, multimask_output=name == SAM
        )
        proposers = (
            [proposals.felzenszwalb_proposals]
            if name == FELZENSZWALB
            else [proposals.sam_proposer(model, config) for model in models]
        )
        depends_on = settings
        if name != FELZENSZWALB:
            configs[name] = asdict(config)
            depends_on = settings | of_model | {"config": configs[name]}
        for split, objects in zip(splits, truths, strict=True):
            workers = [_proposal_worker(split, objects, one) for one in proposers]
            images = [f"image {index} of {split.name}" for index in split.indices]
            with_place = depends_on | {"place": split.place}
            found = measure(Work(name, split.name, images, workers, with_place), options.output)
            label = f"{name}, {split.name}"
            results[label] = found.records
            problems += found.problems
            most = options.pictures_here()
            cases |= _pick_proposals(label, split, found.records, most)
    tables = [proposals.summarise(results), tabulate_time(results)]
    settings |= of_model | {"configs": configs}
    settings |= {"places": {split.name: split.place for split in splits}}
    tell(Findings("Object proposals", tables, {}, cases), options.output, settings, problems)


def _read_objects(split: Split) -> list[list[ObjectTruth]] | None:
    """What a json file in COCO's form knows of each example's masks; None for other data sets."""
    if not isinstance(split.source, CocoJson):
        return None
    return read_truth(Path(split.source.name)).objects()


def _proposal_worker(
    split: Split, objects: list[list[ObjectTruth]] | None, proposer: proposals.Proposer
) -> Measure:
    def measure(number: int) -> Record:
        index = split.indices[number]
        seconds: list[float] = []
        known = None if objects is None else objects[index]
        record = proposals.measure_image(timed_call(proposer, seconds), split.source[index], known)
        return record | {METHOD_SECONDS: sum(seconds)}

    return measure


def _pick_proposals(
    label: str, split: Split, records: list[Record], most: int
) -> dict[str, list[Case]]:
    """Pictures of the images of which most, middling and fewest masks are found."""
    measured = [record for record in records if record["groups"]["all"]["masks"]]
    recalls = [
        proposals.average_recall([record], proposals.LIMITS[-1]) or 0.0 for record in measured
    ]
    ranks = pick_cases(recalls, most)
    cases: dict[str, list[Case]] = {}
    for name, numbers in ranks._asdict().items():
        some = []
        for number in numbers:
            record = measured[number]
            example = split.source[split.indices[record[INDEX]]]
            pictures = (
                draw_everything(example.image, [decode_rle(rle) for rle in record["first"]]),
                _draw_truth(example),
            )
            some.append(Case(f"{example.name}: AR {recalls[number]:.2f}", pictures))
        cases[f"{label}, {name}: first proposals, twice as many as masks, and truth"] = some
    return cases


def _draw_truth(example: Example) -> np.ndarray:
    masks = [example.masks[index] for index in range(len(example.masks))]
    return draw_everything(example.image, masks)


def evaluate_instances(options: "Instances") -> None:
    """Measure with the detector's boxes, or the truth's.

    Raises:
        InputError: a file is not what it should be, or some images cannot be used.
    """
    options.start()
    truth = read_truth(options.truth)
    photos = find_photo_folder(options.truth, truth.images)
    if options.boxes is None:
        detections, boxes = truth_detections(truth), "truth"
    else:
        detections, boxes = read_detections(options.boxes, truth), options.boxes.stem
    chosen = spread_evenly(range(len(truth.images)), options.images)
    config = instances.InstanceConfig(refine=options.refine)
    models = options.load_models()
    settings: dict[str, Any] = {
        "experiment": "instances",
        "config": asdict(config),
        "place": str(options.truth.resolve()),
        "boxes": boxes,
        "boxes_hash": hashlib.sha256(repr(detections.by_image).encode()).hexdigest(),
        **describe_model(models[0]),
    }
    workers = [
        _instance_worker(truth, photos, detections, chosen, SamPredictor(model), config)
        for model in models
    ]
    images = [photo_places(truth.images[index])[0] for index in chosen]
    name = f"sam, boxes of {boxes}"
    work = Work(name, options.truth.stem, images, workers, settings)
    found = measure(work, options.output)
    if not found.records:
        raise InputError("no image could be measured: " + "; ".join(found.problems))
    if jax.process_index() == 0:
        instances.write_results(found.records, options.output / DETECTIONS)
    tables = [
        instances.summarise(found.records, truth, name),
        tabulate_time({f"{name}, {work.data}": found.records}),
    ]
    if detections.skipped:
        print(f"left out {detections.skipped} boxes without width or height")
    cases = _pick_instances(truth, photos, chosen, found.records, options.pictures_here())
    findings = Findings("Instances from boxes", tables, {}, cases)
    tell(findings, options.output, settings, found.problems)


def _instance_worker(
    truth: CocoTruth,
    photos: Path,
    detections: Detections,
    chosen: list[int],
    predictor: SamPredictor,
    config: instances.InstanceConfig,
) -> Measure:
    def measure(number: int) -> Record:
        image = truth.images[chosen[number]]
        photo = truth.read_photo(chosen[number], photos)
        seconds: list[float] = []
        record = instances.measure_image(
            _TimedPredictor(predictor, seconds),
            photo,
            image["id"],
            detections.by_image.get(image["id"], []),
            config,
        )
        return record | {METHOD_SECONDS: sum(seconds)}

    return measure


class _TimedPredictor:
    """A predictor that notes how long each call took."""

    def __init__(self, predictor: SamPredictor, seconds: list[float]) -> None:
        self.set_image = timed_call(predictor.set_image, seconds)
        self.predict_batch = timed_call(predictor.predict_batch, seconds)


def _pick_instances(
    truth: CocoTruth, photos: Path, chosen: list[int], records: list[Record], most: int
) -> dict[str, list[Case]]:
    """Pictures of the images whose objects are masked best, in the middle, and worst."""
    if most == 0:
        return {}
    scores, shown = [], []
    all_masks = truth.masks({record["image_id"] for record in records})
    for record in records:
        index = chosen[record[INDEX]]
        masks = all_masks[record["image_id"]]
        answers = [instance["segmentation"] for instance in record["instances"]]
        if masks:
            ious = proposals.mask_ious(answers, masks)
            scores.append(float(ious.max(axis=0, initial=0).mean()))
            shown.append((index, masks, answers))
    cases: dict[str, list[Case]] = {}
    for name, numbers in pick_cases(scores, most)._asdict().items():
        some = []
        for number in numbers:
            index, masks, answers = shown[number]
            photo = truth.read_photo(index, photos)
            pictures = tuple(
                draw_everything(photo, [decode_rle(rle) for rle in rles])
                for rles in (answers, masks)
            )
            name_of_photo = photo_places(truth.images[index])[0]
            some.append(Case(f"{name_of_photo}: mean IoU {scores[number]:.2f}", pictures))
        cases[f"{name}: answer and truth"] = some
    return cases
