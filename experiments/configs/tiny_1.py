"""The model that comes with this package, first lesson: flat shapes in plain colours.

`python -m experiments.first_weights runs/first_weights.safetensors`, then `sam-jax train tiny_1`.
"""

from experiments.lessons import FLAT, LIKE_SAM, STEADY, lesson
from sam_jax.training.config import Synthetic

config = lesson(
    Synthetic(size=(144, 192), plain=1.0, augmentation=FLAT),
    after="runs/first_weights.safetensors",
    side=128,
    steps=818,
    rate=2e-3,
    decay=STEADY,
    warmup_steps=100,
    masks=10,
    box_share=0.1,
    model=LIKE_SAM,
)
