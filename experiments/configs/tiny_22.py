"""The model that comes with this package, twenty-second lesson: large and small at 384×384, with corrections.

After `tiny_21`: `sam-jax train tiny_22`. The rate falls to zero.
"""

from experiments.lessons import (
    NEW_LAYERS_FASTER,
    SCORING_FASTER,
    lesson,
    micrographs,
    photos,
    scenes_like_photos,
    small_things,
    surroundings,
)
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.3, seed=27, size=(384, 512)),
    *small_things(scenes=0.1, regions=0.3, objects=0.25, seed=28),
    micrographs(),
    *photos(regions=0.7, objects=0.7),
    surroundings(weight=0.6),
    after="runs/tiny_21/weights.safetensors",
    side=384,
    steps=360,
    rate=7e-4,
    decay=CosineDecay(),
    warmup_steps=20,
    masks=8,
    seed=15,
    rounds=2,
    box_jitter_limit=8.0,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
