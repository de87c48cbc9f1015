"""The model that comes with this package, tenth lesson: mostly photos, of which it knew even its own too little.

After `tiny_9`: `sam-jax train tiny_10`.
"""

from experiments.lessons import SCENES, lesson, micrographs, photos
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(
        weight=0.3,
        seed=7,
        size=(288, 384),
        plain=0.1,
        plain_contrast=0.7,
        textures="runs/photos/regions",
        augmentation=SCENES,
    ),
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
)
