"""The model that comes with this package, eleventh lesson: 384×384 and corrections again; the rate falls to zero.

After `tiny_10`: `sam-jax train tiny_11`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, scenes_like_photos
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.3, seed=8, size=(384, 512)),
    micrographs(),
    *photos(regions=1.0, objects=0.5),
    after="runs/tiny_10/weights.safetensors",
    side=384,
    steps=120,
    rate=2.5e-4,
    decay=CosineDecay(),
    masks=8,
    seed=4,
    rounds=2,
    box_jitter_limit=8.0,
    model=LIKE_SAM,
)
