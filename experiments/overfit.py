"""Can the model learn at all? Eight drawn pictures, the same ones again and again: `python -m experiments.overfit`.

The tiny model, at an input of 256 pixels, learns four masks of each picture and reaches a mIoU of 0.95 from one click
at the centre: 0.951 after 250 steps, in 6 minutes on two cores.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sam_jax.data.augmentation import Augmentation
from sam_jax.data.example import Batch
from sam_jax.data.framing import normalise
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.data.transforms import CELL, frame_example
from sam_jax.distributed import device_mesh
from sam_jax.evaluation.points.annotator import find_centre
from sam_jax.losses import hard_iou
from sam_jax.models import TINY, Model, SamConfig, decode_masks, encode_image, encode_prompts
from sam_jax.training.config import DataConfig, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.training.state import to_variables
from sam_jax.types import PointLabel, Prompts

SMALL_INPUT = replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(256, 256)))


class Score(NamedTuple):
    """How well the model segments from one click at the centre of every mask.

    Attributes:
        step: Number of training steps done.
        seconds: Time since the start of training, compilation included.
        trusted: Mean IoU of the masks of highest predicted IoU.
        best: Mean IoU of the best of three masks.
    """

    step: int
    seconds: float
    trusted: float
    best: float


def make_batch(
    model: SamConfig, source: SyntheticSource, images: int, masks: int, min_cells: int = 1
) -> Batch:
    """The first pictures, each with that many masks of at least `min_cells` cells of low-resolution logits."""
    framed = [
        frame_example(
            source[index],
            model.image_encoder.image_size,
            masks,
            Augmentation(min_cells=min_cells),
            np.random.default_rng(index),
        )
        for index in range(images)
    ]
    return Batch(
        np.stack([one.image for one in framed]),
        np.array([one.fitted for one in framed], np.int32),
        np.stack([one.masks for one in framed]),
        np.stack([one.valid for one in framed]),
    )


@jax.jit
def click_once(model: Model, batch: Batch, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """IoU of the mask of highest predicted IoU, and of the best of three, for one click on every mask of a batch."""
    labels = jnp.full(points.shape[:3], PointLabel.FOREGROUND, jnp.int32)
    labels = labels.at[:, :, 1].set(PointLabel.NOT_A_POINT)
    embeddings = encode_image(model, normalise(batch.images, batch.fitted))
    prompts = encode_prompts(model, Prompts(points, labels))
    answer = decode_masks(model, embeddings, prompts, multimask_output=True)
    of_three = jax.vmap(hard_iou, in_axes=(0, None))
    iou = jax.vmap(jax.vmap(of_three))(answer.logits, jnp.asarray(batch.masks))
    trusted = jnp.take_along_axis(iou, answer.iou.argmax(2, keepdims=True), axis=2)[:, :, 0]
    return trusted, iou.max(axis=2)


def overfit(model: SamConfig, batch: Batch, steps: int, every: int) -> Iterator[Score]:
    """Train on one batch, and score every `every` steps and after the last."""
    started = time.perf_counter()
    config = TrainConfig(
        model=model,
        data=DataConfig(
            sources=(Synthetic(),),
            batch_size=len(batch.images),
            masks_per_image=batch.valid.shape[1],
        ),
        steps=steps,
        optimiser=OptimiserConfig(
            rate=1e-3, warmup_steps=20, decay=CosineDecay(), layer_decay=1.0, weight_decay=0.0
        ),
        interaction=Interaction(iterations=1, refine_iterations=0, box_share=0.0),
    )
    preparation = prepare(config, mesh=device_mesh(jax.devices()[:1]))
    state = first_state(config, preparation)
    nowhere = np.zeros(2)  # For masks that only fill up a batch.
    centres = CELL * np.array(
        [[find_centre(m) if m.any() else nowhere for m in masks] for masks in batch.masks]
    )
    points = np.stack([centres + CELL // 2, np.zeros_like(centres)], axis=2).astype(np.float32)
    for step in range(1, steps + 1):
        state, *_ = preparation.train_step(state, batch)
        if step % every == 0 or step == steps:
            trained = preparation.objective.make_model(to_variables(state))
            trusted, best = click_once(trained, batch, points)
            valid = batch.valid
            means = (float(np.asarray(iou)[valid].mean()) for iou in (trusted, best))
            yield Score(step, time.perf_counter() - started, *means)


def main() -> None:
    """Overfit, and print the curve."""
    parser = argparse.ArgumentParser(description="Overfit the tiny model on eight pictures.")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--masks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--goal", type=float, default=0.95)
    options = parser.parse_args()
    source = SyntheticSource(seed=1, size=SMALL_INPUT.image_encoder.image_size)
    batch = make_batch(SMALL_INPUT, source, options.images, options.masks)
    print("  step  seconds  mIoU trusted  best of three")
    for score in overfit(SMALL_INPUT, batch, options.steps, every=25):
        line = f"{score.step:6d}{score.seconds:9.0f}{score.trusted:14.3f}{score.best:15.3f}"
        print(line, flush=True)
        if score.trusted >= options.goal:
            return
    raise SystemExit(f"stayed below a mIoU of {options.goal}")


if __name__ == "__main__":
    main()
