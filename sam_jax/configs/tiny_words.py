"""The small CLIP of drawings, on a small machine: `sam-jax train tiny_words`.

Drawings and phrases are made as training goes on; nothing is downloaded.
"""

from sam_jax.models.clip import CLIP_TINY
from sam_jax.training.config import DataConfig, Drawn, Reporting
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.phrase_config import PhraseConfig

config = PhraseConfig(
    model=CLIP_TINY,
    data=DataConfig(sources=(Drawn(size=(240, 320), things=16),), batch_size=8, masks_per_image=16),
    steps=1600,
    optimiser=OptimiserConfig(
        method="muon",
        rate=2e-3,
        warmup_steps=50,
        decay=CosineDecay(),
        beta2=0.98,
        layer_decay=1.0,
    ),
    reporting=Reporting(metrics_every=20, pictures_every=500, states_every=100),
)
