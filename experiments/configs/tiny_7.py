"""The model that comes with this package, seventh lesson: 384×384, corrections, with a rate that falls to zero.

After `tiny_6`: `sam-jax train tiny_7`.
"""

from dataclasses import replace

from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.models import TINY
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, Synthetic, TrainConfig
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.rounds import Interaction

config = TrainConfig(
    model=replace(TINY, image_encoder=replace(TINY.image_encoder, image_size=(384, 384))),
    start_from="runs/tiny_6/weights.safetensors",
    data=DataConfig(
        sources=(
            Synthetic(
                seed=4,
                size=(384, 512),
                plain=0.2,
                plain_contrast=0.7,
                augmentation=Augmentation(
                    flip_horizontally=True,
                    scale=(0.8, 2.4),
                    colour=0.2,
                    min_cells=10,
                    area_power=0.3,
                ),
            ),
            Stored(
                path="data/bbbc038",
                weight=0.15,
                hold_back=5,
                augmentation=replace(MICROGRAPHS, scale=(0.8, 3.0), min_cells=10),
            ),
        ),
        batch_size=8,
        masks_per_image=8,
    ),
    steps=400,
    optimiser=OptimiserConfig(
        method="muon",
        rate=1e-3,
        warmup_steps=10,
        decay=CosineDecay(),
        weight_decay=0.05,
        layer_decay=1.0,
    ),
    interaction=Interaction(rounds=2, refine_rounds=0, box_share=0.2, box_jitter_limit=8.0),
    execution=Execution(data_workers=1),
    reporting=Reporting(pictures_every=250, checkpoint_every=40, weights_every=200),
)
