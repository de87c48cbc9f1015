"""The model that comes with this package, eighteenth lesson: as the one before, with more photos.

After `tiny_17`: `sam-jax train tiny_18`.
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
    scenes_like_photos(weight=0.3, seed=19, size=(384, 512)),
    *small_things(scenes=0.1, regions=0.35, objects=0.3, seed=20),
    micrographs(),
    *photos(regions=0.6, objects=0.7),
    after="runs/tiny_17/weights.safetensors",
    side=256,
    steps=600,
    rate=1e-3,
    decay=CosineDecay(last_share=0.1),
    warmup_steps=20,
    masks=12,
    seed=11,
    model=STAGES["geodesics"],
    rate_factors=NEW_LAYERS_FASTER,
)
