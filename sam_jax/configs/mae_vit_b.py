"""ViT-B pre-trained as a masked autoencoder, by the paper's recipe: `sam-jax train mae_vit_b --multi-host`.

[MAE](https://arxiv.org/abs/2111.06377), appendix A.1: 4096 photos a step, 800 epochs of ImageNet-1K's 1,281,167, of
which 40 to warm up, and a rate of 1.5e-4 for every 256 photos. Photos are read from any folder or data set, by default
`data/photos`; with another number of them, set `--steps` and `--optimiser.warmup-steps` to as many epochs. Training of
Segment Anything starts from the result by `--start-from runs/mae_vit_b/weights.safetensors`.
"""

from dataclasses import replace

from sam_jax.data.augmentation import PRETRAINING
from sam_jax.models import MAE_VIT_B, ON_ACCELERATOR
from sam_jax.training.config import DataConfig, Execution, PretrainConfig, Reporting, Stored
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = PretrainConfig(
    model=MAE_VIT_B,
    data=DataConfig(
        sources=(Stored(path="data/photos", augmentation=PRETRAINING),), batch_size=4096
    ),
    steps=250_000,
    optimiser=OptimiserConfig(
        rate=2.4e-3,
        warmup_steps=12_500,
        decay=CosineDecay(),
        beta2=0.95,
        weight_decay=0.05,
        layer_decay=1.0,
        clip_norm=None,
    ),
    execution=Execution(
        compute=replace(ON_ACCELERATOR, dtype="bfloat16", scan_blocks=True),
        parameters="sharded",
        data_workers=16,
    ),
    reporting=Reporting(metrics_every=50, pictures_every=1000, states_every=1000),
)
