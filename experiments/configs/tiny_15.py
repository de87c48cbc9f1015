"""The model that comes with this package, fifteenth lesson: convolutions for what a patch is too coarse for.

After `tiny_14`, `python -m experiments.average_weights` of it and `tiny_13`, and
`python -m experiments.add_details --up-to details` of the mean at 256 pixels: `sam-jax train tiny_15`.
"""

from experiments.lessons import (
    STAGES,
    lesson,
    micrographs,
    photos,
    scenes_like_photos,
    small_things,
)
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.25, seed=13, size=(384, 512)),
    *small_things(scenes=0.2, regions=0.5, objects=0.3, seed=14),
    micrographs(),
    *photos(regions=0.5, objects=0.4),
    after="runs/detailed_256.safetensors",
    side=256,
    steps=1200,
    rate=1e-3,
    decay=CosineDecay(last_share=0.05),
    warmup_steps=30,
    masks=12,
    seed=8,
    model=STAGES["details"],
)
