"""The model that comes with this package, twenty-seventh lesson: clicks in the middle, at 256×256.

After the mean of `tiny_25` and `tiny_26`, at 256 pixels: `sam-jax train tiny_27`. Until now a click fell anywhere in
its mask; people click in the middle, which says how far the mask may reach.
"""

from experiments.lessons import (
    NEW_LAYERS_FASTER,
    SCORING_FASTER,
    VARIED_THINGS,
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
    scenes_like_photos(weight=0.3, seed=41, size=(384, 512)),
    *small_things(scenes=0.08, regions=0.2, objects=0.25, seed=42),
    micrographs(weight=0.12),
    *photos(regions=0.25, objects=0.35),
    surroundings(weight=0.35),
    things(weight=0.7),
    *pasted_things(surroundings(weight=0.6), scenes=0.5, seed=43, pasting=VARIED_THINGS),
    after="runs/mean_25_26_256.safetensors",
    side=256,
    steps=700,
    rate=1e-3,
    decay=CosineDecay(last_share=0.1),
    warmup_steps=20,
    masks=12,
    seed=20,
    centre_share=0.7,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
