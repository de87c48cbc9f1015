"""SAM with ViT-L from scratch, the paper's recipe (appendix A): `sam-jax train sa1b_vit_l --multi-host`.

It differs from `sa1b_vit_h` in half the batch, twice the steps and half the learning rate. The paper gives no
milestones for this length; they are those of ViT-H at twice the step.
"""

from dataclasses import replace

from sam_jax.configs import sa1b_vit_h
from sam_jax.models import VIT_L
from sam_jax.training.optimiser import StepDecay

config = replace(
    sa1b_vit_h.config,
    model=VIT_L,
    data=replace(sa1b_vit_h.config.data, batch_size=128),
    steps=180_000,
    optimiser=replace(
        sa1b_vit_h.config.optimiser, rate=4e-4, decay=StepDecay(milestones=(120_000, 173_332))
    ),
)
