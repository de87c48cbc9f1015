"""The model that comes with this package, sixth lesson: more scenes.

After `tiny_5`: `sam-jax train tiny_6`.
"""

from experiments.lessons import LIKE_SAM, SCENES, lesson, micrographs
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        seed=3, size=(288, 384), plain=0.2, plain_contrast=0.7, repeat=8000, augmentation=SCENES
    ),
    micrographs(),
    after="runs/tiny_5/weights.safetensors",
    side=256,
    steps=900,
    rate=1e-3,
    decay=CosineDecay(last_share=0.7),
    masks=12,
    model=LIKE_SAM,
)
