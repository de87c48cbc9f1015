"""The model that comes with this package, second lesson: flat shapes with weak textures.

After `tiny_1`: `sam-jax train tiny_2`.
"""

from experiments.lessons import FLAT, LIKE_SAM, STEADY, lesson
from sam_jax.training.config import Synthetic

config = lesson(
    Synthetic(size=(144, 192), plain=1.0, plain_contrast=0.3, augmentation=FLAT),
    after="runs/tiny_1/weights.safetensors",
    side=128,
    steps=193,
    rate=8e-4,
    decay=STEADY,
    warmup_steps=20,
    masks=10,
    box_share=0.1,
    model=LIKE_SAM,
)
