"""SAM with ViT-B from scratch, the paper's recipe (appendix A): `sam-jax train sa1b_vit_b --multi-host`.

It differs from `sa1b_vit_l` in the learning rate, its decay from layer to layer, and the rate of drop path.
"""

from dataclasses import replace

from sam_jax.configs import sa1b_vit_l
from sam_jax.models import VIT_B

config = replace(
    sa1b_vit_l.config,
    model=VIT_B,
    optimiser=replace(sa1b_vit_l.config.optimiser, rate=8e-4, layer_decay=0.6),
    drop_path=0.6,
)
