"""ViT-L pre-trained as a masked autoencoder, by the paper's recipe: `sam-jax train mae_vit_l --multi-host`.

It differs from `mae_vit_b` in the size of the encoder.
"""

from dataclasses import replace

from sam_jax.configs import mae_vit_b
from sam_jax.models import MAE_VIT_L

config = replace(mae_vit_b.config, model=MAE_VIT_L)
