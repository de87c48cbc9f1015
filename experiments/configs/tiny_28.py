"""The model that comes with this package, twenty-eighth lesson: the same at 512×512.

After `tiny_27`: `sam-jax train tiny_28`. One correction after each first prompt; the rate falls to zero.
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
    scenes_like_photos(weight=0.3, seed=44, size=(384, 512)),
    *small_things(scenes=0.08, regions=0.2, objects=0.3, seed=45),
    micrographs(weight=0.15),
    *photos(regions=0.3, objects=0.35),
    surroundings(weight=0.35),
    things(weight=0.7),
    *pasted_things(things(weight=0.5), scenes=0.4, seed=46, pasting=VARIED_THINGS),
    after="runs/tiny_27/weights.safetensors",
    side=512,
    steps=290,
    rate=6e-4,
    decay=CosineDecay(),
    warmup_steps=15,
    masks=6,
    seed=21,
    rounds=2,
    box_jitter_limit=10.0,
    centre_share=0.7,
    rate_factors=(*NEW_LAYERS_FASTER, *SCORING_FASTER),
)
