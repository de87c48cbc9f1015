"""Fine-tuning: the run that teaches existing weights a data set, made from a few settings."""

import dataclasses
import math
from dataclasses import dataclass

import jax

from sam_jax.checkpoints import read_config
from sam_jax.models import default_compute
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

SMALLEST_BATCH = 4
"""Smallest number of images a step where none is given."""


@dataclass(frozen=True, kw_only=True)
class FinetuningConfig:
    """How weights are fine-tuned.

    Attributes:
        steps: Number of training steps.
        rate: Highest learning rate. It is reached after a tenth of the steps, and falls to 0 at the end.
        batch_size: Images a step; None for the smallest multiple of the number of devices from 4 on.
        masks: Masks of an image in a step, drawn anew each time.
        iterations: Prompts for a mask: first a click or a box, then clicks where the last prediction was wrong.
        image_size: Size of the model's input in pixels, a side or (h, w); None for the checkpoint's.
        hold_back: Interval of held-back images; 0 to hold back none.
        train_encoder: Whether the image encoder trains, too.
        cache_embeddings: Whether image embeddings are kept on the disk while the encoder is frozen.
        seed: Seed of everything that is drawn at random.
    """

    steps: int = 1000
    rate: float = 1e-4
    batch_size: int | None = None
    masks: int = 8
    iterations: int = 4
    image_size: int | tuple[int, int] | None = None
    hold_back: int = 0
    train_encoder: bool = False
    cache_embeddings: bool = True
    seed: int = 0


def make_finetuning_run(data: str, checkpoint: str, config: FinetuningConfig) -> TrainConfig:
    """The run that fine-tunes weights.

    Args:
        data: Data set in any form that training reads.
        checkpoint: Weights to start from.
        config: How they are fine-tuned.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: A number is out of its range.
    """
    devices = jax.device_count()
    batch_size = config.batch_size
    if batch_size is None:
        batch_size = math.ceil(SMALLEST_BATCH / devices) * devices
    model = read_config(checkpoint, image_size=config.image_size)
    return TrainConfig(
        model=model,
        data=DataConfig(
            sources=(Stored(path=data, hold_back=config.hold_back),),
            batch_size=batch_size,
            masks_per_image=config.masks,
            seed=config.seed,
        ),
        steps=config.steps,
        optimiser=OptimiserConfig(
            rate=config.rate, warmup_steps=config.steps // 10, decay=CosineDecay()
        ),
        interaction=Interaction(
            iterations=config.iterations,
            refine_iterations=min(2, config.iterations // 4),
            box_jitter_limit=max(model.image_encoder.image_size) / 1024 * 20,
        ),
        start_from=checkpoint,
        frozen=() if config.train_encoder else ("image_encoder/*",),
        seed=config.seed,
        cache_embeddings=config.cache_embeddings and not config.train_encoder,
        # One image at a time on each device, so that small machines have memory enough.
        execution=Execution(
            compute=dataclasses.replace(default_compute(training=True), remat=config.train_encoder),
            micro_batches=max(1, batch_size // devices),
        ),
        reporting=Reporting(pictures_every=100, states_every=100),
    )
