"""Does pre-training without masks help? `python -m experiments.mae_transfer --data ../data --output runs/mae_transfer`.

The small model's encoder is pre-trained as a masked autoencoder on photos and micrographs, without their masks. Then
Segment Anything of that size is trained from it and from random weights, with the same data, steps and seeds, on the
training photos of BSDS500, and after every few steps measured on its validation photos, which neither of them saw: mean
IoU of the mask of highest predicted IoU for one click in the middle of each object.

`curves.json` in the output folder holds the figures, `curves.svg` shows them, and the pictures of reconstructions lie
in `pretraining/pictures`. A run that was stopped goes on at the seed where it was. The defaults take about 45 minutes
of one core for pre-training, and an hour for the six runs. Figures: docs/guides/pretraining.md.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from experiments.overfit import click_once
from sam_jax.cli.compilation import keep_compiled_programs
from sam_jax.configs import mae_tiny
from sam_jax.data.augmentation import PHOTOS, PRETRAINING, Augmentation
from sam_jax.data.example import Batch, RecordError
from sam_jax.data.folders import list_photos
from sam_jax.data.sources import open_source
from sam_jax.data.transforms import CELL, frame_example
from sam_jax.distributed import device_mesh, place_batch
from sam_jax.evaluation.plots import COLOURS, figure_to_svg, new_plot
from sam_jax.evaluation.points.annotator import find_centre
from sam_jax.models import TINY, Model, SamConfig
from sam_jax.storage import write_json, write_text
from sam_jax.training.config import DataConfig, PretrainConfig, Stored, TrainConfig
from sam_jax.training.feed import make_loader, open_sources
from sam_jax.training.interaction import Interaction
from sam_jax.training.loop import WEIGHTS, train
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.training.state import to_variables

UNLABELLED = (
    "bsds500/images/train",
    "coco_tiny/images",
    "davis2016/images",
    "bbbc038/images",
    "photos",
)
"""Folders of photos and micrographs; those of the validation photos are not among them."""
LABELLED, HELD_BACK = "bsds500/images/train", "bsds500/images/val"
STARTS = ("random", "pre-trained")
MIN_CELLS = 16
"""Smallest object that is measured, in cells of 4x4 pixels."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train from a pre-trained encoder and from random weights."""

    data: Path
    """Folder of BSDS500, BBBC038, DAVIS and other photos."""
    output: Path
    """Folder of the results."""
    pretraining_steps: int = 1_200
    """Number of steps of pre-training."""
    steps: int = 600
    """Number of steps of each training run."""
    every: int = 50
    """Number of steps from one measurement to the next."""
    seeds: int = 3
    """Number of runs from either start."""
    image_size: int = 128
    """Side of Segment Anything's input in pixels."""
    encoder_rate: float = 1.0
    """Learning rate of the image encoder, as a factor of that of the rest."""
    photos: int = 48
    """Number of held-back photos to measure on."""


class Judge(NamedTuple):
    """Held-back photos and a click on each of their objects.

    Attributes:
        batches: Photos and masks.
        points: The click in the middle of each mask, and the padding point, in pixels of the padded input.
    """

    batches: list[Batch]
    points: list[np.ndarray]

    def score(self, model: Model) -> float:
        """Mean IoU over all objects of the mask of highest predicted IoU."""
        scores = [
            np.asarray(click_once(model, batch, points)[0])[batch.valid]
            for batch, points in zip(self.batches, self.points, strict=True)
        ]
        return float(np.concatenate(scores).mean())


def make_judge(options: Options, masks: int = 8, at_once: int = 8) -> Judge:
    """Read held-back photos, the first annotator's objects of each."""
    source = open_source(options.data / HELD_BACK)
    frame = (options.image_size, options.image_size)
    framed, seen = [], set()
    for index in range(len(source)):
        example = source[index]
        photo = example.image.tobytes()
        if photo in seen:
            continue  # another annotator's objects
        seen.add(photo)
        try:
            draw = np.random.default_rng(index)
            framed.append(
                frame_example(example, frame, masks, Augmentation(min_cells=MIN_CELLS), draw)
            )
        except RecordError:
            continue
        if len(framed) == options.photos:
            break
    batches, points = [], []
    for start in range(0, len(framed) - at_once + 1, at_once):
        group = framed[start : start + at_once]
        batch = Batch(
            np.stack([one.image for one in group]),
            np.array([one.fitted for one in group], np.int32),
            np.stack([one.masks for one in group]),
            np.stack([one.valid for one in group]),
        )
        centres = CELL * np.array(
            [
                [find_centre(mask) if mask.any() else np.zeros(2) for mask in of_image]
                for of_image in batch.masks
            ]
        )
        batches.append(batch)
        points.append(
            np.stack([centres + CELL // 2, np.zeros_like(centres)], axis=2).astype(np.float32)
        )
    return Judge(batches, points)


def pretrain(options: Options) -> Path:
    """Pre-train, or go on, and return the file of weights."""
    sources = tuple(
        Stored(
            path=str(options.data / name),
            augmentation=PRETRAINING,
            weight=len(list_photos(options.data / name)),
        )
        for name in UNLABELLED
    )
    steps = options.pretraining_steps
    config: PretrainConfig = replace(
        mae_tiny.config,
        data=replace(mae_tiny.config.data, sources=sources),
        steps=steps,
        optimiser=replace(mae_tiny.config.optimiser, warmup_steps=steps // 20),
    )
    folder = options.output / "pretraining"
    train(config, folder)
    return folder / WEIGHTS


def segmenter(options: Options) -> SamConfig:
    """Segment Anything of the small model's size."""
    return replace(TINY, fine=None).with_image_size((options.image_size, options.image_size))


def train_and_score(
    options: Options, start_from: Path | None, seed: int, judge: Judge
) -> Iterator[tuple[int, float]]:
    """Train one model; yields steps and scores."""
    config = TrainConfig(
        model=segmenter(options),
        data=DataConfig(
            sources=(Stored(path=str(options.data / LABELLED), augmentation=PHOTOS),),
            batch_size=8,
            masks_per_image=4,
            seed=seed,
        ),
        steps=options.steps,
        optimiser=OptimiserConfig(
            method="muon",
            rate=2e-3,
            warmup_steps=options.steps // 10,
            decay=CosineDecay(),
            layer_decay=1.0,
            rate_factors=(("image_encoder/*", options.encoder_rate),),
        ),
        interaction=Interaction(iterations=2, refine_iterations=0),
        start_from=None if start_from is None else str(start_from),
        seed=seed,
    )
    preparation = prepare(config, mesh=device_mesh(jax.devices()[:1]))
    state = first_state(config, preparation)
    loader = make_loader(config, open_sources(config))
    for step in range(1, options.steps + 1):
        state, *_ = preparation.train_step(state, place_batch(next(loader), preparation.mesh))
        if step % options.every == 0 or step == options.steps:
            yield step, judge.score(preparation.objective.make_model(to_variables(state)))
    loader.close()


def draw_curves(curves: dict[str, Any]) -> str:
    """A thin line for each run and a thick one for the mean of each start, as SVG."""
    figure, axes = new_plot(6, 4)
    for colour, start in zip(COLOURS, STARTS, strict=False):
        runs = [np.array(points) for name, points in curves.items() if name.startswith(start)]
        if not runs:
            continue
        for run in runs:
            axes.plot(run[:, 0], run[:, 1], color=colour, linewidth=0.8, alpha=0.6)
        mean = np.mean(runs, axis=0)
        axes.plot(mean[:, 0], mean[:, 1], color=colour, linewidth=2.5, label=start)
    axes.set_xlabel("training steps")
    axes.set_ylabel("mIoU of one click, held-back photos")
    axes.legend(frameon=False)
    return figure_to_svg(figure)


def main() -> None:
    """Pre-train, train, measure, draw."""
    options = tyro.cli(Options)
    keep_compiled_programs()
    options.output.mkdir(parents=True, exist_ok=True)
    weights = pretrain(options)
    judge = make_judge(options)
    objects = sum(int(batch.valid.sum()) for batch in judge.batches)
    print(f"measuring on {objects} objects of {sum(len(b.images) for b in judge.batches)} photos")
    path = options.output / "curves.json"
    curves: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(options.seeds):
        for start in STARTS:
            name = f"{start} {seed}"
            if name in curves:
                continue
            points = []
            start_from = weights if start == "pre-trained" else None
            for step, score in train_and_score(options, start_from, seed, judge):
                points.append((step, score))
                print(f"{name}: step {step}, mIoU {score:.3f}", flush=True)
            curves[name] = points
            write_json(path, curves)
    write_text(options.output / "curves.svg", draw_curves(curves))
    for start in STARTS:
        last = [points[-1][1] for name, points in curves.items() if name.startswith(start)]
        print(f"{start}: {np.mean(last):.3f} ± {np.std(last):.3f} after {options.steps} steps")


if __name__ == "__main__":
    main()
