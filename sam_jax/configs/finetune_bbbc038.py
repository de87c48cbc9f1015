"""The official ViT-B fine-tuned to segment nuclei, on a small machine: `sam-jax train finetune_bbbc038`.

The run needs the official weights in the working folder, `sam-jax download vit_b --output .`, and the micrographs of
BBBC038 in `data/bbbc038`, of which every fifth is held out. The encoder is frozen, and its image embeddings are cached
on disk: 4 MB an image.
"""

from sam_jax.models import VIT_B
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = TrainConfig(
    model=VIT_B,
    data=DataConfig(
        sources=(Stored(path="data/bbbc038", hold_back=5),), batch_size=4, masks_per_image=8
    ),
    steps=1000,
    optimiser=OptimiserConfig(rate=1e-4, warmup_steps=100, decay=CosineDecay()),
    interaction=Interaction(iterations=4, refine_iterations=1),
    start_from="sam_vit_b_01ec64.pth",
    frozen=("image_encoder/*",),
    cache_embeddings=True,
    execution=Execution(micro_batches=4),
    reporting=Reporting(pictures_every=100, states_every=100),
)
