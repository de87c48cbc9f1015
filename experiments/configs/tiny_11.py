"""The model that comes with this package, eleventh lesson: 384×384 and corrections again; the rate falls to zero.

After `tiny_10`: `sam-jax train tiny_11`.
"""

from experiments.lessons import SCENES, lesson, micrographs, photos
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        weight=0.3,
        seed=8,
        size=(384, 512),
        plain=0.1,
        plain_contrast=0.7,
        textures="runs/photos/regions",
        augmentation=SCENES,
    ),
    micrographs(),
    *photos(regions=1.0, objects=0.5),
    after="runs/tiny_10/weights.safetensors",
    side=384,
    steps=120,
    rate=2.5e-4,
    decay=CosineDecay(),
    masks=8,
    seed=4,
    rounds=2,
    box_jitter_limit=8.0,
)
