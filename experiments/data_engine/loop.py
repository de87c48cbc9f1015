"""The loop of the data engine with a simulated annotator: does the model get better, round by round?

    python -m experiments.data_engine.loop DATA --output runs/loop

DATA is BBBC038 as images/ and labels/. Of its first 200 micrographs, every fifth is held back. The first version is
the shipped model of drawings, which has never seen a micrograph; the small model has learned most of these. In each
of three rounds the annotator masks up to 4 nuclei of each micrograph of a third, through what the browser uses, too:
clicks from the truth until the IoU is 0.85, at most 8, then the brush. Then the model is trained on all masks that
have come in, as `sam-jax engine train` does it, and the version is taken up. Held-back micrographs are measured with
each version. In the end a detector pre-fills them, and the automatic generator masks some. `--compare` trains the
first version in other ways, too, on all masks. The guide to the data engine has the figures.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from experiments.data_engine.annotator import Patience, annotate_photo
from experiments.data_engine.detector import link_records
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.checkpoints.contents import DRAWINGS
from sam_jax.data.augmentation import MICROGRAPHS
from sam_jax.data.example import Source, mask_runs
from sam_jax.data.sources import open_source
from sam_jax.data.subset import Subset, hold_out
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.detecting import make_detection_config
from sam_jax.data_engine.loop_state import read_loop_state
from sam_jax.data_engine.prefilling import CORRECT_IOU, share_prefilled
from sam_jax.data_engine.renewal import Renewal
from sam_jax.data_engine.retraining import (
    HELD_BACK,
    RetrainingConfig,
    finish_retraining,
    retraining,
)
from sam_jax.data_engine.schema import photos
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.versions import open_version_in_use
from sam_jax.data_engine.workplace import Workplace
from sam_jax.evaluation.mask_overlap import rle_ious
from sam_jax.evaluation.plots import figure_to_svg
from sam_jax.evaluation.points.segmenters import SamClickSegmenter
from sam_jax.evaluation.points.sessions import PointsConfig, click_objects, count_clicks
from sam_jax.evaluation.proposals.proposers import encode_runs
from sam_jax.inference import SamAutomaticMaskGenerator, SamPredictor, load
from sam_jax.inference.object_boxes import open_detector
from sam_jax.messages import print_line
from sam_jax.models import Model
from sam_jax.storage import write_text
from sam_jax.training.config import TrainConfig
from sam_jax.training.finetuning import FinetuningConfig, make_finetuning_run
from sam_jax.training.loop import WEIGHTS, train

GOOD_IOU, MOST_CLICKS = 0.85, 10
CLICKING = PointsConfig(
    clicks=1, noc_thresholds=(GOOD_IOU,), noc_limit=MOST_CLICKS, masks_per_image=4, min_area=30
)
AUGMENTATION = replace(MICROGRAPHS, scale=(0.8, 2.0), min_cells=10)
"""Changes of micrographs where the image encoder trains."""
SIDE = 16
"""Points along a side of the automatic generator's grid."""


def measure(model: Model, held_back: Source) -> dict[str, float]:
    """Clicks a mask, and the mIoU of one click, on held-back micrographs."""
    segmenter = SamClickSegmenter(SamPredictor(model))
    records = [
        mask
        for index in range(len(held_back))
        for mask in click_objects(segmenter, held_back[index], index, CLICKING)["masks"]
    ]
    clicks = [count_clicks(mask["trusted"], GOOD_IOU, MOST_CLICKS) for mask in records]
    return {
        "masks": len(records),
        "one_click": float(np.mean([mask["trusted"][0] for mask in records])),
        "one_click_best_of_three": float(np.mean([mask["oracle"][0] for mask in records])),
        "clicks": float(np.mean([count or MOST_CLICKS for count in clicks])),
        "reached": float(np.mean([count is not None for count in clicks])),
    }


def measure_automatic(model: Model, held_back: Source) -> dict[str, float]:
    """IoU of true objects with the nearest automatic mask, and the share of automatic masks that are right."""
    generator = SamAutomaticMaskGenerator(model, points_per_side=SIDE, output_mode="coco_rle")
    nearest: list[float] = []
    right: list[bool] = []
    for index in range(len(held_back)):
        example = held_back[index]
        found: list[Any] = [record["segmentation"] for record in generator.generate(example.image)]
        truth = [encode_runs(mask_runs(example.masks, k)) for k in range(len(example.masks))]
        ious = rle_ious(found, truth)
        nearest += ious.max(axis=0, initial=0.0).tolist()
        right += (ious.max(axis=1, initial=0.0) >= CORRECT_IOU).tolist()
    return {
        "photos": len(held_back),
        "objects": len(nearest),
        "mean_iou": float(np.mean(nearest)),
        "found": float(np.mean(np.array(nearest) >= CORRECT_IOU)),
        "masks": len(right),
        "right": float(np.mean(right)) if right else 0.0,
    }


def _augment(run: TrainConfig) -> TrainConfig:
    """The same run, which sees its micrographs enlarged, turned over and in other colours."""
    sources = tuple(replace(source, augmentation=AUGMENTATION) for source in run.data.sources)
    return replace(run, data=replace(run.data, sources=sources))


def draw_curves(output: Path, rounds: Sequence[dict[str, Any]], stages: dict[str, Any]) -> None:
    """Clicks and mIoU by round, and what the second and the third stage find before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    numbers = [one["version"] for one in rounds]
    for axis, name, title in (
        (axes[0], "clicks", f"clicks a mask to IoU {GOOD_IOU} (at most {MOST_CLICKS})"),
        (axes[1], "one_click", "mean IoU of one click"),
    ):
        axis.plot(numbers, [one[name] for one in rounds], marker="o", color="tab:blue")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("version of the model")
        axis.set_xticks(numbers)
        axis.grid(alpha=0.3)
    places = np.arange(3)
    for offset, name, color in ((-0.2, "before", "tab:gray"), (0.2, "after", "tab:blue")):
        about = stages[name]
        heights = [about["prefilled"], about["automatic"]["found"], about["automatic"]["mean_iou"]]
        axes[2].bar(places + offset, heights, 0.4, label=f"{name} the rounds", color=color)
    axes[2].set_xticks(
        places, ["pre-filled\ncorrectly", "automatic:\nfound", "automatic:\nmean IoU"]
    )
    axes[2].set_title("objects, stages 2 and 3", fontsize=9)
    axes[2].legend(fontsize=8)
    write_text(output / "loop.svg", figure_to_svg(figure))


class Loop:
    """The folder, the database, and a server without HTTP.

    Args:
        options: Options of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.output: Path = options.output
        names = sorted(path.name for path in (options.data / "images").iterdir())[: options.photos]
        self.folder = link_records(options.data, self.output / "data", names)
        truth = open_source(str(self.folder))
        self.truth = {Path(str(truth[k].name)).name: truth[k] for k in range(len(truth))}
        self.held_back = Subset(truth, list(range(0, len(truth), HELD_BACK)))
        self.config = RetrainingConfig(
            finetuning=FinetuningConfig(
                hold_back=HELD_BACK,
                steps=options.steps,
                rate=options.rate,
                masks=4,
                iterations=options.iterations,
                train_encoder=options.train_encoder,
            )
        )
        self.start = self.output / "start.safetensors"
        if not self.start.is_file():
            config, variables = load_checkpoint(options.checkpoint, image_size=options.image_size)
            save_checkpoint(self.start, config, variables)
        self.database = Database(self.output / "masks.sqlite")
        version, model = open_version_in_use(self.database, self.start)
        self.make_segmenter = partial(
            Segmenter, folder=self.output / "embeddings", most_bytes=1 << 30, say=print_line
        )
        assert version.name is not None
        self.workplace = Workplace(
            self.folder / "images",
            self.database,
            self.make_segmenter(model),
            version.name,
            print_line,
        )
        self.workplace.model.segmenter.compile()
        self.renewal = Renewal(self.workplace, self.make_segmenter, print_line)

    @property
    def model(self) -> Model:
        """The model that answers now."""
        return self.workplace.model.segmenter.model

    def annotate(self, part: slice) -> list[int]:
        """Mask a part of the micrographs that are not finished; return the clicks of each mask."""
        query = select(photos.c.id, photos.c.path, photos.c.finished_at).order_by(photos.c.id)
        with self.database.reading() as connection:
            rows = connection.execute(query).all()[part]
        return [
            clicks
            for row in rows
            if row.finished_at is None
            for clicks in annotate_photo(
                self.workplace, row.id, self.truth[row.path], Patience(good_iou=GOOD_IOU)
            )
        ]

    def retrain(self) -> int:
        """Train a version on what there is, put it in use, and take it up; return its number."""
        with retraining(self.database, self.config) as begun:
            if self.config.finetuning.train_encoder:
                begun = begun._replace(run=_augment(begun.run))
            train(begun.run, begun.folder, embeddings=begun.embeddings)
            version, gain = finish_retraining(self.database, begun, is_used=True)
        print_line(f"version {version.number} learned {begun.learned}; {gain}")
        self.renewal.look()
        return version.number

    def try_other_ways(self, weights: str, snapshot: Path) -> dict[str, Any]:
        """Train the first version in other ways on all masks, and measure each."""
        base = self.config.finetuning
        ways = {
            "as in the loop": base,
            "a tenth of the rate": replace(base, rate=base.rate / 10),
            "three times the rate": replace(base, rate=base.rate * 3),
            "the encoder as well, or not": replace(base, train_encoder=not base.train_encoder),
            "three times the steps": replace(base, steps=base.steps * 3),
        }
        found = {}
        for number, (name, config) in enumerate(ways.items()):
            began = time.process_time()
            folder = self.output / "ways" / str(number)
            run = make_finetuning_run(str(snapshot), weights, config)
            run = _augment(run) if config.train_encoder else run
            train(run, folder, embeddings=self.output / "masks.versions" / "embeddings")
            found[name] = measure(load(folder / WEIGHTS), self.held_back)
            found[name]["cpu_seconds"] = time.process_time() - began
            print_line(f"{name}: {found[name]}")
        return found


def main() -> None:
    """Go through the loop, measure, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=DRAWINGS)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument(
        "--train-encoder",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="and augment the micrographs",
    )
    parser.add_argument("--detector-steps", type=int, default=250)
    parser.add_argument("--automatic-photos", type=int, default=10)
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    results = options.output / "loop.json"
    found = json.loads(results.read_text()) if results.is_file() else {"rounds": [], "stages": {}}
    rounds, stages = found["rounds"], found["stages"]

    def keep() -> None:
        results.write_text(json.dumps(found, indent=1) + "\n")
        print_line(f"{time.process_time():.0f} s of the processors")

    loop = Loop(options)
    if not rounds:
        rounds.append({"version": 0, **measure(loop.model, loop.held_back)})
        print_line(f"{rounds[0]}")
        keep()
    part = -(-options.photos // options.rounds)
    for number in range(len(rounds) - 1, options.rounds):
        clicks = loop.annotate(slice(number * part, (number + 1) * part))
        print_line(f"{len(clicks)} masks, {np.mean(clicks or [0]):.2f} clicks each")
        version = loop.retrain()
        rounds.append({"version": version, **measure(loop.model, loop.held_back)})
        print_line(f"{rounds[-1]}")
        keep()
    snapshot = loop.output / "masks.versions" / str(rounds[-1]["version"]) / "masks.sqlite"
    few = hold_out(loop.held_back, max(1, len(loop.held_back) // options.automatic_photos))[1]
    for name, weights in (("before", loop.start), ("after", snapshot.parent / WEIGHTS)):
        if name in stages:
            continue
        config = make_detection_config(
            str(snapshot), str(weights), hold_back=HELD_BACK, steps=options.detector_steps
        )
        train(config, loop.output / "detectors" / name)
        model = load(weights)
        detector = open_detector(loop.output / "detectors" / name / WEIGHTS, model)
        share = share_prefilled(loop.make_segmenter(model), detector, loop.held_back)
        stages[name] = {
            "prefilled": share.share,
            "precision": share.precision,
            "objects": share.objects,
            "automatic": measure_automatic(model, few),
        }
        print_line(f"{name}: {stages[name]}")
        keep()
    state = read_loop_state(loop.database)
    found["drawn"] = {one.number: drawn._asdict() for one, drawn in state.versions}
    draw_curves(loop.output, rounds, stages)
    if options.compare:
        found["ways"] = loop.try_other_ways(str(loop.start), snapshot)
    keep()
    loop.database.close()


if __name__ == "__main__":
    main()
