"""The model that comes with this package, fourteenth lesson: whole things again, beside small ones, at 384×384.

After `tiny_13` and the mean of `tiny_13` with that of `tiny_12` and what it started from: `sam-jax train tiny_14`.
"""

from experiments.lessons import (
    LIKE_SAM,
    lesson,
    micrographs,
    photos,
    scenes_like_photos,
    small_things,
)
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.35, seed=11, size=(384, 512)),
    *small_things(scenes=0.1, regions=0.25, objects=0.2, seed=12),
    micrographs(),
    *photos(regions=0.5, objects=0.6),
    after="runs/mean_12_13.safetensors",
    side=384,
    steps=150,
    rate=4e-4,
    decay=CosineDecay(),
    masks=8,
    seed=7,
    rounds=2,
    box_jitter_limit=8.0,
    model=LIKE_SAM,
)
