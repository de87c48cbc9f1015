"""The model that comes with this package, tenth lesson: mostly photos, of which it knew even its own too little.

After `tiny_9`: `sam-jax train tiny_10`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, scenes_like_photos
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    scenes_like_photos(weight=0.3, seed=7, size=(288, 384)),
    micrographs(),
    *photos(regions=1.2, objects=0.4),
    after="runs/tiny_9/weights.safetensors",
    side=256,
    steps=1100,
    rate=1e-3,
    decay=CosineDecay(last_share=0.05),
    warmup_steps=20,
    masks=12,
    seed=3,
    model=LIKE_SAM,
)
