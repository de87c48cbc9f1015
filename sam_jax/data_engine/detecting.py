"""Training the detector of stage 2 on what people have masked."""

import math

import jax

from sam_jax.checkpoints import read_config
from sam_jax.models import DetectorConfig
from sam_jax.training.config import DataConfig, DetectionConfig, Reporting, Stored
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

SMALLEST_BATCH = 4
"""Smallest number of images a step where none is given."""
MOST_OBJECTS = 256
"""Objects of a photo that the detector learns from."""


def make_detection_config(
    data: str,
    checkpoint: str,
    *,
    steps: int = 600,
    rate: float = 1e-3,
    batch_size: int | None = None,
    hold_back: int = 0,
    enlargements: int = 1,
    seed: int = 0,
) -> DetectionConfig:
    """The run that trains a detector on a data set's masks.

    Args:
        data: Data set in any form that training reads, such as a database of annotations.
        checkpoint: Weights of the Segment Anything on whose embeddings the detector works.
        steps: Number of training steps.
        rate: Highest learning rate.
        batch_size: Images a step; None for the smallest multiple of the number of devices from 4 on.
        hold_back: Interval of held-back photos; 0 to hold back none.
        enlargements: How often the map of boxes is made twice as fine as the image embedding.
        seed: Seed of everything that is drawn at random.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: A number is out of its range.
    """
    model, devices = read_config(checkpoint), jax.device_count()
    detector = DetectorConfig(
        embedding_width=model.image_encoder.out_channels, enlargements=enlargements
    )
    return DetectionConfig(
        model=model,
        checkpoint=checkpoint,
        detector=detector,
        data=DataConfig(
            sources=(Stored(path=data, hold_back=hold_back),),
            batch_size=batch_size or math.ceil(SMALLEST_BATCH / devices) * devices,
            masks_per_image=MOST_OBJECTS,
            seed=seed,
        ),
        steps=steps,
        optimiser=OptimiserConfig(
            rate=rate, warmup_steps=steps // 10, decay=CosineDecay(), layer_decay=1.0
        ),
        seed=seed,
        reporting=Reporting(pictures_every=200, states_every=200),
    )
