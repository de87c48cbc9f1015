"""The model that comes with this package, twenty-third lesson: things, outlined and pasted, at 256×256.

After a quarter of `tiny_21` and three of `tiny_22`, at 256 pixels: `sam-jax train tiny_23`. The things are those of
the first 24 entries of `lesson_masks.json`.
"""

from experiments.lessons import (
    NEW_LAYERS_FASTER,
    SCORING_FASTER,
    lesson,
    micrographs,
    pasted_things,
    photos,
    scenes_like_photos,
    small_things,
    surroundings,
    things,
)
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.2, seed=29, size=(384, 512)),
    *small_things(scenes=0.08, regions=0.2, objects=0.25, seed=30),
    micrographs(weight=0.12),
    *photos(regions=0.35, objects=0.2),
    surroundings(weight=0.35),
    things(weight=0.7),
    *pasted_things(surroundings(weight=0.5), scenes=0.4, seed=31),
    after="runs/mean_22_256.safetensors",
    side=256,
    steps=840,
    rate=1e-3,
    decay=CosineDecay(last_share=0.1),
    warmup_steps=20,
    masks=12,
    seed=16,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
