"""The small model from random weights, on drawn pictures, trained as the paper trains: `sam-jax train tiny`.

The weights that come with this package were trained in stages, on photos too: see their model card.
"""

from sam_jax.data.augmentation import Augmentation
from sam_jax.models import TINY
from sam_jax.training.config import DataConfig, Execution, Reporting, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = TrainConfig(
    model=TINY,
    data=DataConfig(
        sources=(Synthetic(augmentation=Augmentation(flip_horizontally=True)),),
        batch_size=8,
        masks_per_image=8,
    ),
    steps=20_000,
    optimiser=OptimiserConfig(rate=8e-4, warmup_steps=500, decay=CosineDecay(), layer_decay=1.0),
    interaction=Interaction(iterations=4),
    execution=Execution(micro_batches=4),
    reporting=Reporting(metrics_every=20, pictures_every=500, states_every=250),
)
