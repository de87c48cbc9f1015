"""The model that comes with this package, fifth lesson: corrections, with a falling rate.

After `tiny_4`: `sam-jax train tiny_5`.
"""

from experiments.lessons import LIKE_SAM, SCENES, lesson, micrographs
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        seed=2, size=(288, 384), plain=0.3, plain_contrast=0.7, repeat=8000, augmentation=SCENES
    ),
    micrographs(),
    after="runs/tiny_4/weights.safetensors",
    side=256,
    steps=800,
    rate=6e-4,
    decay=CosineDecay(),
    masks=8,
    rounds=2,
    model=LIKE_SAM,
)
