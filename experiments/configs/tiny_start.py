"""The first part of training the model that comes with this package, on small pictures: `sam-jax train tiny_start`.

Drawn pictures, and micrographs of BBBC038 in `data/bbbc038` of which every fifth is held back. The rate stays the same:
stop when the curve flattens, and go on with `tiny`.
"""

from dataclasses import replace

from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.models import TINY
from sam_jax.training.config import (
    DataConfig,
    Execution,
    Reporting,
    Stored,
    Synthetic,
    TrainConfig,
)
from sam_jax.training.optimiser import OptimiserConfig, StepDecay
from sam_jax.training.rounds import Interaction

config = TrainConfig(
    model=replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(256, 256))),
    data=DataConfig(
        sources=(
            Synthetic(
                size=(256, 320),
                augmentation=Augmentation(flip_horizontally=True, scale=(0.6, 1.6)),
            ),
            Stored(
                path="data/bbbc038",
                weight=0.2,
                hold_back=5,
                augmentation=replace(MICROGRAPHS, scale=(0.5, 2.0)),
            ),
        ),
        batch_size=8,
        masks_per_image=8,
    ),
    steps=100_000,
    optimiser=OptimiserConfig(
        rate=6e-4, warmup_steps=300, decay=StepDecay(milestones=()), layer_decay=1.0
    ),
    interaction=Interaction(rounds=2, refine_rounds=0, box_share=0.25, box_jitter_limit=5.0),
    execution=Execution(micro_batches=2),
    reporting=Reporting(
        metrics_every=10, pictures_every=500, checkpoint_every=100, weights_every=1000
    ),
)
