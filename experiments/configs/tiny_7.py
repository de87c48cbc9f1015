"""The model that comes with this package, seventh lesson: 384×384, corrections, with a rate that falls to zero.

After `tiny_6`: `sam-jax train tiny_7`.
"""

from experiments.lessons import LIKE_SAM, SCENES, lesson, micrographs
from sam_jax.training.config import Synthetic
from sam_jax.training.optimiser import CosineDecay

config = lesson(
    Synthetic(seed=4, size=(384, 512), plain=0.2, plain_contrast=0.7, augmentation=SCENES),
    micrographs(),
    after="runs/tiny_6/weights.safetensors",
    side=384,
    steps=400,
    rate=1e-3,
    decay=CosineDecay(),
    masks=8,
    rounds=2,
    box_jitter_limit=8.0,
    model=LIKE_SAM,
)
