"""The model that comes with this package, third lesson: whole scenes and micrographs.

After `tiny_2`: `sam-jax train tiny_3`.
"""

from dataclasses import replace

from experiments.lessons import LIKE_SAM, SCENES, STEADY, lesson, micrographs
from sam_jax.training.config import Synthetic

config = lesson(
    Synthetic(
        size=(288, 384),
        plain=0.6,
        plain_contrast=0.6,
        repeat=6000,
        augmentation=replace(SCENES, scale=(1.0, 3.0), area_power=0.2),
    ),
    micrographs(weight=0.1, scale=(1.0, 4.0)),
    after="runs/tiny_2/weights.safetensors",
    side=128,
    steps=281,
    rate=1e-3,
    decay=STEADY,
    warmup_steps=20,
    batch_size=16,
    masks=10,
    box_share=0.1,
    model=LIKE_SAM,
)
