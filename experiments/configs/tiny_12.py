"""The model that comes with this package, twelfth lesson: small things, which no lesson before had shown.

After `tiny_11`, `python -m experiments.average_weights` of it and `tiny_9`, and
`python -m experiments.lesson_photos data runs/photos_small --smallest-region 0.0003`: `sam-jax train tiny_12`.
"""

from experiments.lessons import LIKE_SAM, lesson, micrographs, photos, small_things
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    *small_things(scenes=0.25, regions=0.7, objects=0.4, seed=9),
    micrographs(weight=0.12),
    *photos(regions=0.5, objects=0.2),
    after="runs/mean_512.safetensors",
    side=256,
    steps=1300,
    rate=1e-3,
    decay=CosineDecay(last_share=0.05),
    warmup_steps=20,
    masks=12,
    seed=5,
    model=LIKE_SAM,
)
