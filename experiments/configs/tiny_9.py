"""The model that comes with this package, ninth lesson: more photos than scenes.

After `tiny_8`: `sam-jax train tiny_9`.
"""

from experiments.lessons import SCENES, lesson, micrographs, photos
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        weight=0.6,
        seed=6,
        size=(288, 384),
        plain=0.1,
        plain_contrast=0.7,
        repeat=8000,
        textures="runs/photos/regions",
        augmentation=SCENES,
    ),
    micrographs(),
    *photos(regions=0.6, objects=0.25),
    after="runs/tiny_8/weights.safetensors",
    side=256,
    steps=1500,
    rate=1e-3,
    decay=CosineDecay(last_share=0.5),
    masks=12,
    seed=2,
)
