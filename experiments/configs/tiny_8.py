"""The model that comes with this package, eighth lesson: photos, and scenes with their textures.

After `tiny_7` and `python -m experiments.lesson_photos data runs/photos`: `sam-jax train tiny_8`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, scenes_like_photos
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.6, seed=5, size=(288, 384), repeat=3000),
    micrographs(),
    *photos(regions=0.6, objects=0.25),
    after="runs/tiny_7/weights.safetensors",
    side=256,
    steps=913,
    rate=7e-4,
    decay=CosineDecay(last_share=0.3, steps=1000),
    masks=8,
    seed=1,
    rounds=2,
    model=LIKE_SAM,
)
