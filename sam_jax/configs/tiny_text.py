"""A small SAM that takes text about drawings, on a small machine: `sam-jax train tiny_text`.

Its CLIP is the small one of drawings that comes with the package; nothing is downloaded.
"""

from sam_jax.models import (
    AutomaticThresholds,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)
from sam_jax.models.clip import CLIP_TINY
from sam_jax.training.config import DataConfig, Drawn, Reporting, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.text_prompting import TextPrompting

config = TrainConfig(
    model=SamConfig(
        image_encoder=ImageEncoderConfig(
            image_size=(192, 256),
            width=96,
            depth=4,
            num_heads=4,
            window_size=4,
            global_blocks=(1, 3),
            out_channels=64,
        ),
        prompt_encoder=PromptEncoderConfig(width=64, text_width=CLIP_TINY.width),
        mask_decoder=MaskDecoderConfig(width=64, mlp_width=128, iou_head_width=64),
        automatic=AutomaticThresholds(pred_iou_thresh=0.5, stability_score_thresh=0.6),
    ),
    data=DataConfig(sources=(Drawn(seed=5, repeat=1600),), batch_size=8, masks_per_image=6),
    steps=2000,
    optimiser=OptimiserConfig(
        method="muon", rate=2e-3, warmup_steps=50, decay=CosineDecay(), layer_decay=1.0
    ),
    # Half of the masks have text alone, a quarter text and a point or a box, a quarter no text.
    interaction=Interaction(
        iterations=2, refine_iterations=0, box_share=0.2, text_share=0.75, text_alone_share=0.67
    ),
    text=TextPrompting(clip="drawings", least_area=100),
    reporting=Reporting(metrics_every=20, pictures_every=500, states_every=200),
)
