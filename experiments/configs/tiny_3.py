"""The model that comes with this package, third lesson: whole scenes and micrographs.

After `tiny_2`: `sam-jax train tiny_3`.
"""

from dataclasses import replace

from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.models import TINY
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, Synthetic, TrainConfig
from sam_jax.training.optimiser import OptimiserConfig, StepDecay
from sam_jax.training.rounds import Interaction

config = TrainConfig(
    model=replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(128, 128))),
    start_from="runs/tiny_2/weights.safetensors",
    data=DataConfig(
        sources=(
            Synthetic(
                seed=0,
                size=(288, 384),
                plain=0.6,
                plain_contrast=0.6,
                repeat=6000,
                augmentation=Augmentation(
                    flip_horizontally=True,
                    scale=(1.0, 3.0),
                    colour=0.2,
                    min_cells=10,
                    area_power=0.2,
                ),
            ),
            Stored(
                path="data/bbbc038",
                weight=0.1,
                hold_back=5,
                augmentation=replace(MICROGRAPHS, scale=(1.0, 4.0), min_cells=10),
            ),
        ),
        batch_size=16,
        masks_per_image=10,
    ),
    steps=281,
    optimiser=OptimiserConfig(
        method="muon",
        rate=1e-3,
        warmup_steps=20,
        decay=StepDecay(milestones=()),
        weight_decay=0.05,
        layer_decay=1.0,
    ),
    interaction=Interaction(rounds=1, refine_rounds=0, box_share=0.1, box_jitter_limit=5.0),
    execution=Execution(data_workers=1),
    reporting=Reporting(pictures_every=250, checkpoint_every=100, weights_every=500),
)
