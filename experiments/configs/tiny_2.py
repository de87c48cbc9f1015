"""The model that comes with this package, second lesson: flat shapes with weak textures.

After `tiny_1`: `sam-jax train tiny_2`.
"""

from dataclasses import replace

from sam_jax.data.augmentation import Augmentation
from sam_jax.models import TINY
from sam_jax.training.config import DataConfig, Execution, Reporting, Synthetic, TrainConfig
from sam_jax.training.optimiser import OptimiserConfig, StepDecay
from sam_jax.training.rounds import Interaction

config = TrainConfig(
    model=replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(128, 128))),
    start_from="runs/tiny_1/weights.safetensors",
    data=DataConfig(
        sources=(
            Synthetic(
                size=(144, 192),
                plain=1.0,
                plain_contrast=0.3,
                augmentation=Augmentation(
                    flip_horizontally=True, scale=(0.8, 1.6), min_cells=8, area_power=0.2
                ),
            ),
        ),
        batch_size=8,
        masks_per_image=10,
    ),
    steps=193,
    optimiser=OptimiserConfig(
        method="muon",
        rate=8e-4,
        warmup_steps=20,
        decay=StepDecay(milestones=()),
        weight_decay=0.05,
        layer_decay=1.0,
    ),
    interaction=Interaction(rounds=1, refine_rounds=0, box_share=0.1, box_jitter_limit=5.0),
    execution=Execution(data_workers=1),
    reporting=Reporting(pictures_every=250, checkpoint_every=100, weights_every=500),
)
