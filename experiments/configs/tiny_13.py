"""The model that comes with this package, thirteenth lesson: small and large at 384×384; the rate falls to zero.

After `tiny_12`: `sam-jax train tiny_13`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, small_things
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    *small_things(scenes=0.3, regions=0.35, objects=0.4, seed=10),
    micrographs(),
    *photos(regions=0.7, objects=0.3),
    after="runs/tiny_12/weights.safetensors",
    side=384,
    steps=360,
    rate=5e-4,
    decay=CosineDecay(),
    masks=8,
    seed=6,
    rounds=2,
    box_jitter_limit=8.0,
    model=LIKE_SAM,
)
