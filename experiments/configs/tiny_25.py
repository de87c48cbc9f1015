"""The model that comes with this package, twenty-fifth lesson: wholes, pasted large, alone and together, at 256×256.

After the mean of `tiny_23` and `tiny_24`, at 256 pixels: `sam-jax train tiny_25`.
"""

from experiments.lessons import (
    NEW_LAYERS_FASTER,
    SCORING_FASTER,
    WHOLE_THINGS,
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
    scenes_like_photos(weight=0.2, seed=35, size=(384, 512)),
    *small_things(scenes=0.08, regions=0.2, objects=0.25, seed=36),
    micrographs(weight=0.12),
    *photos(regions=0.35, objects=0.2),
    surroundings(weight=0.35),
    things(weight=0.7),
    *pasted_things(surroundings(weight=0.6), scenes=0.5, seed=37, pasting=WHOLE_THINGS),
    after="runs/mean_23_24_256.safetensors",
    side=256,
    steps=800,
    rate=1e-3,
    decay=CosineDecay(last_share=0.1),
    warmup_steps=20,
    masks=12,
    seed=18,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
