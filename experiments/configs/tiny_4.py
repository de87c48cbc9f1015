"""The model that comes with this package, fourth lesson: larger pictures.

After `tiny_3`: `sam-jax train tiny_4`.
"""

from dataclasses import replace

from experiments.lessons import LIKE_SAM, SCENES, lesson, micrographs
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        seed=1,
        size=(288, 384),
        plain=0.4,
        plain_contrast=0.7,
        repeat=8000,
        augmentation=replace(SCENES, area_power=0.25),
    ),
    micrographs(weight=0.1),
    after="runs/tiny_3/weights.safetensors",
    side=256,
    steps=1108,
    rate=1e-3,
    decay=CosineDecay(last_share=0.3, steps=1900),
    warmup_steps=20,
    masks=10,
    box_share=0.1,
    model=LIKE_SAM,
)
