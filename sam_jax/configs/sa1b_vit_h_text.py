"""SAM with ViT-H and text prompts, the paper's recipe (appendix D.5): `sam-jax train sa1b_vit_h_text --multi-host`.

It differs from `sa1b_vit_h` in half the batch, 120,000 steps, large-scale jitter, and CLIP's embeddings of large masks
as first prompts. `sam-jax download clip_vit_l_14_336` brings the CLIP. The paper trains on the masks that people drew
or corrected, which are not published; SA-1B's stand for them. It gives no milestones for this length; they are at the
same shares of the steps as those of ViT-H.
"""

from dataclasses import replace

from sam_jax.configs import sa1b_vit_h
from sam_jax.data.augmentation import LARGE_SCALE_JITTER, Augmentation
from sam_jax.training.config import DataConfig, Stored
from sam_jax.training.optimiser import StepDecay
from sam_jax.training.text_prompting import TextPrompting

config = replace(
    sa1b_vit_h.config,
    model=replace(
        sa1b_vit_h.config.model,
        prompt_encoder=replace(sa1b_vit_h.config.model.prompt_encoder, text_width=768),
    ),
    data=DataConfig(
        sources=(Stored(path="data/sa1b", augmentation=Augmentation(scale=LARGE_SCALE_JITTER)),),
        batch_size=128,
        masks_per_image=64,
    ),
    steps=120_000,
    optimiser=replace(sa1b_vit_h.config.optimiser, decay=StepDecay(milestones=(80_000, 115_555))),
    text=TextPrompting(clip="weights/ViT-L-14-336px.pt"),
)
