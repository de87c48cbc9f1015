"""The model that comes with this package, seventeenth lesson: distances along the image; at 256×256.

After `tiny_16` and `python -m experiments.add_details --up-to geodesics` of it at 256 pixels, which adds them:
`sam-jax train tiny_17`.
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
    scenes_like_photos(weight=0.3, seed=17, size=(384, 512)),
    *small_things(scenes=0.15, regions=0.35, objects=0.25, seed=18),
    micrographs(),
    *photos(regions=0.6, objects=0.6),
    after="runs/reaching_256.safetensors",
    side=256,
    steps=400,
    rate=1e-3,
    decay=CosineDecay(last_share=0.05),
    warmup_steps=30,
    masks=12,
    seed=10,
    model=STAGES["geodesics"],
    rate_factors=NEW_LAYERS_FASTER,
)
