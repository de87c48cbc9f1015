"""The model that comes with this package, twenty-first lesson: surroundings, and masks are looked at; at 256×256.

After `tiny_20` and `python -m experiments.add_details` of it at 256 pixels, which adds the looking:
`sam-jax train tiny_21`.
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
    scenes_like_photos(weight=0.3, seed=25, size=(384, 512)),
    *small_things(scenes=0.1, regions=0.35, objects=0.3, seed=26),
    micrographs(),
    *photos(regions=0.6, objects=0.7),
    surroundings(weight=0.6),
    after="runs/scoring_256.safetensors",
    side=256,
    steps=560,
    rate=1e-3,
    decay=CosineDecay(last_share=0.1),
    warmup_steps=20,
    masks=12,
    seed=14,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
