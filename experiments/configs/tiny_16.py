"""The model that comes with this package, sixteenth lesson: maps of clicks; at 384×384, with corrections.

After `tiny_15` and `python -m experiments.add_details --up-to click_maps` of it at 384 pixels, which adds the maps:
`sam-jax train tiny_16`. The rate falls to zero.
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
    scenes_like_photos(weight=0.25, seed=15, size=(384, 512)),
    *small_things(scenes=0.2, regions=0.45, objects=0.3, seed=16),
    micrographs(),
    *photos(regions=0.5, objects=0.5),
    after="runs/marked_384.safetensors",
    side=384,
    steps=440,
    rate=5e-4,
    decay=CosineDecay(),
    warmup_steps=20,
    masks=8,
    seed=9,
    rounds=2,
    box_jitter_limit=8.0,
    model=STAGES["click_maps"],
)
