"""ViT-H pre-trained as a masked autoencoder, by the paper's recipe: `sam-jax train mae_vit_h --multi-host`.

It differs from `mae_vit_b` in the size of the encoder, and in patches of 14 pixels, as its authors have them. Segment
Anything has patches of 16: training that starts from this interpolates the patch embedding, which
`--model.patch-size 16` makes unnecessary.
"""

from dataclasses import replace

from sam_jax.configs import mae_vit_b
from sam_jax.models import MAE_VIT_H, ON_ACCELERATOR

config = replace(
    mae_vit_b.config,
    model=MAE_VIT_H,
    execution=replace(
        mae_vit_b.config.execution,
        compute=replace(ON_ACCELERATOR, dtype="bfloat16", scan_blocks=True, remat=True),
    ),
)
