"""SAM with ViT-H from scratch, the paper's recipe (appendix A): `sam-jax train sa1b_vit_h --multi-host`.

A step takes 256 images, and there are 90,000 steps. SA-1B is read from `data/sa1b`, where `sam-jax dataset build`
leaves it. The paper starts from an encoder that was pre-trained as a masked autoencoder; `--start-from FILE` names
such weights, as `mae_vit_h` makes them or as its authors publish them.
"""

from dataclasses import replace

from sam_jax.models import ON_ACCELERATOR, VIT_H
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import OptimiserConfig, StepDecay

config = TrainConfig(
    model=VIT_H,
    data=DataConfig(sources=(Stored(path="data/sa1b"),), batch_size=256, masks_per_image=64),
    steps=90_000,
    optimiser=OptimiserConfig(
        rate=8e-4,
        warmup_steps=250,
        decay=StepDecay(milestones=(60_000, 86_666)),
        layer_decay=0.8,
    ),
    interaction=Interaction(),
    drop_path=0.4,
    execution=Execution(
        # What four masks need stays in a TPU's VMEM: a sixth of the traffic of 64 together.
        compute=replace(
            ON_ACCELERATOR, dtype="bfloat16", remat=True, scan_blocks=True, prompts_at_once=4
        ),
        parameters="sharded",
        data_workers=16,
    ),
    reporting=Reporting(metrics_every=50, pictures_every=1000, states_every=1000),
)
