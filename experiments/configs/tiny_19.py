"""The model that comes with this package, nineteenth lesson: large and small at 384×384, with corrections.

After `tiny_18`: `sam-jax train tiny_19`. The rate falls to zero.
"""

from experiments.lessons import (
    NEW_LAYERS_FASTER,
    STAGES,
    lesson,
    micrographs,
    photos,
    scenes_like_photos,
    small_things,
)
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.3, seed=21, size=(384, 512)),
    *small_things(scenes=0.1, regions=0.3, objects=0.25, seed=22),
    micrographs(),
    *photos(regions=0.7, objects=0.7),
    after="runs/tiny_18/weights.safetensors",
    side=384,
    steps=380,
    rate=7e-4,
    decay=CosineDecay(),
    warmup_steps=20,
    masks=8,
    seed=12,
    rounds=2,
    box_jitter_limit=8.0,
    model=STAGES["geodesics"],
    rate_factors=NEW_LAYERS_FASTER,
)
