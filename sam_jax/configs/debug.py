"""A run of about a minute that goes through every part of training: `sam-jax train debug`."""

from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig
from sam_jax.training.config import DataConfig, Reporting, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

config = TrainConfig(
    model=SamConfig(
        image_encoder=ImageEncoderConfig(
            image_size=(64, 96),
            width=32,
            depth=2,
            num_heads=2,
            window_size=2,
            global_blocks=(1,),
            out_channels=32,
        ),
        prompt_encoder=PromptEncoderConfig(width=32),
        mask_decoder=MaskDecoderConfig(width=32, mlp_width=64, iou_head_width=32),
    ),
    data=DataConfig(sources=(Synthetic(size=(64, 96)),), batch_size=8, masks_per_image=4),
    steps=20,
    optimiser=OptimiserConfig(rate=1e-3, warmup_steps=5, decay=CosineDecay()),
    interaction=Interaction(iterations=3),
    reporting=Reporting(metrics_every=5, pictures_every=10, states_every=10),
)
