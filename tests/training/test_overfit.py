"""The short form of `experiments.overfit`: a small model learns a few masks by heart."""

from dataclasses import replace

import pytest

from experiments.overfit import make_batch, overfit
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.models import PromptEncoderConfig

from .conftest import MINIATURE

WIDER = replace(
    MINIATURE,
    image_encoder=replace(MINIATURE.image_encoder, width=32, out_channels=32),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=replace(MINIATURE.mask_decoder, width=32, mlp_width=64, iou_head_width=32),
)
"""It takes no longer to compile, and learns what the narrower one does not."""


@pytest.mark.slow
def test_a_small_model_learns_a_few_masks_by_heart():
    source = SyntheticSource(seed=1, size=(64, 96), plain=1.0)
    batch = make_batch(WIDER, source, images=2, masks=2, min_cells=4)
    *_, last = overfit(WIDER, batch, steps=400, every=400)
    assert last.trusted > 0.95
