"""The model that comes with this package, eighth lesson: photos, and scenes with their textures.

After `tiny_7` and `python -m experiments.lesson_photos data runs/photos`: `sam-jax train tiny_8`.
"""

from experiments.lessons import SCENES, lesson, micrographs, photos
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        seed=5,
        size=(288, 384),
        plain=0.1,
        plain_contrast=0.7,
        repeat=8000,
        textures="runs/photos/regions",
        augmentation=SCENES,
    ),
    micrographs(),
    *photos(regions=0.45, objects=0.2),
    after="runs/tiny_7/weights.safetensors",
    side=256,
    steps=400,
    rate=1e-3,
    decay=CosineDecay(last_share=0.4, steps=2800),
    masks=12,
    seed=1,
)
