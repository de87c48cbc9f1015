"""The model that comes with this package, ninth lesson: 384×384, with a rate that falls to zero.

After `tiny_8`: `sam-jax train tiny_9`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, scenes_like_photos
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.6, seed=6, size=(384, 512)),
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
    model=LIKE_SAM,
)
