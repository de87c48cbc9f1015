"""The model that comes with this package, ninth lesson: 384×384, with a rate that falls to zero.

After `tiny_8`: `sam-jax train tiny_9`.
"""

from experiments.lessons import SCENES, lesson, micrographs, photos
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        weight=0.6,
        seed=6,
        size=(384, 512),
        plain=0.1,
        plain_contrast=0.7,
        textures="runs/photos/regions",
        augmentation=SCENES,
    ),
    micrographs(),
    *photos(regions=0.6, objects=0.25),
    after="runs/tiny_8/weights.safetensors",
    side=384,
    steps=140,
    rate=2.5e-4,
    decay=CosineDecay(),
    masks=8,
    seed=2,
    rounds=2,
    box_jitter_limit=8.0,
)
