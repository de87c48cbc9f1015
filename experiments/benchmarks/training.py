"""Speed of a training step beside the same step in PyTorch over the official modules, float32, on this machine's CPU.

    python -m experiments.benchmarks.training [--image-size 256] [--images 4] [--masks 8] [--iterations 2]

A step: encode the images, prompt for every mask, correct each answer by a point where it was wrong, losses, gradients,
clipping, AdamW. PyTorch is given its points; ours finds them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import numpy as np
import torch
import tyro

from experiments.benchmarks.timing import print_summaries, summarise, time_in_turns
from experiments.reference import official_model
from experiments.reference_training import TorchBatch, TorchPrompts, session_loss
from sam_jax.data.example import Batch
from sam_jax.data.framing import normalise
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.distributed import place_batch
from sam_jax.models import TINY, SamConfig
from sam_jax.training.config import DataConfig, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction, find_inside
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.types import PointLabel

OURS, OFFICIAL = "sam_jax", "official PyTorch"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare training steps of the tiny model with PyTorch's."""

    image_size: int = 256
    """Side of the input in pixels."""
    images: int = 4
    """Number of images of a step."""
    masks: int = 8
    """Number of masks of an image."""
    iterations: int = 2
    """Number of prompts for a mask."""
    repeats: int = 5
    """How often each step is timed."""


def make_batch(config: SamConfig, images: int, masks: int) -> Batch:
    """A batch of drawn pictures, all of which have that many masks."""
    frame = config.image_encoder.image_size
    loader = Loader(
        [Ingredient(SyntheticSource(size=frame))],
        LoaderConfig(frame=frame, batch_size=images, num_masks=masks),
    )
    batch = next(loader)
    while not batch.valid.all():
        batch = next(loader)
    loader.close()
    assert isinstance(batch, Batch)
    return batch


def our_step(config: SamConfig, options: Options, batch: Batch) -> Callable[[], object]:
    """A function that takes a step as `sam-jax train` does."""
    plan = TrainConfig(
        model=config,
        data=DataConfig(
            sources=(Synthetic(),), batch_size=options.images, masks_per_image=options.masks
        ),
        steps=1000,
        optimiser=OptimiserConfig(decay=CosineDecay(), layer_decay=1.0),
        interaction=Interaction(iterations=options.iterations, refine_iterations=0, box_share=0.0),
    )
    preparation = prepare(plan)
    state = first_state(plan, preparation)

    def run() -> None:
        nonlocal state
        state, *metrics = preparation.train_step(state, place_batch(batch, preparation.mesh))
        jax.block_until_ready((state, metrics))

    return run


def torch_step(config: SamConfig, options: Options, batch: Batch) -> Callable[[], object]:
    """A function that takes the same step in PyTorch."""
    model = official_model(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=8e-4, weight_decay=0.1)
    pixels = np.asarray(normalise(batch.images, batch.fitted)).transpose(0, 3, 1, 2)
    inside = np.asarray(find_inside(batch.fitted, batch.masks.shape[2:]))
    inputs = TorchBatch(torch.tensor(pixels), torch.tensor(batch.masks), torch.tensor(inside))
    shape = (options.images, options.masks, options.iterations)
    points = np.random.default_rng(0).uniform(0, options.image_size, (*shape, 2))
    labels = torch.full(shape, int(PointLabel.FOREGROUND))
    prompts = TorchPrompts(torch.tensor(points, dtype=torch.float32), labels, None)

    def run() -> None:
        optimiser.zero_grad()
        session_loss(model, inputs, prompts, options.iterations).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return run


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    side = options.image_size
    config = replace(TINY, fine=None).with_image_size((side, side))
    batch = make_batch(config, options.images, options.masks)
    contestants = {
        OURS: our_step(config, options, batch),
        OFFICIAL: torch_step(config, options, batch),
    }
    summary = summarise(time_in_turns(contestants, options.repeats), OURS)
    print_summaries({"training step": summary}, OURS)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
