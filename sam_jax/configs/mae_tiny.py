"""The small model's encoder pre-trained as a masked autoencoder, on a small machine: `sam-jax train mae_tiny`.

Photos are read from any folder or data set, by default `data/photos`. The numbers are for some hundreds of photos and
an hour of two cores; `tiny` starts from the result by `--start-from runs/mae_tiny/weights.safetensors`.
"""

from sam_jax.data.augmentation import PRETRAINING
from sam_jax.models import MAE_TINY
from sam_jax.training.config import DataConfig, PretrainConfig, Reporting, Stored
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = PretrainConfig(
    model=MAE_TINY,
    data=DataConfig(sources=(Stored(path="data/photos", augmentation=PRETRAINING),), batch_size=64),
    steps=5_000,
    optimiser=OptimiserConfig(
        rate=1e-3,
        warmup_steps=250,
        decay=CosineDecay(),
        beta2=0.95,
        weight_decay=0.05,
        layer_decay=1.0,
    ),
    reporting=Reporting(metrics_every=20, pictures_every=250, states_every=250),
)
