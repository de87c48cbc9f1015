from dataclasses import replace

import jax
import pytest

from experiments.parity import Pair, make_pair
from sam_jax.models import (
    TINY,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)

OBLONG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(96, 144),
        width=24,
        depth=3,
        num_heads=3,
        mlp_ratio=3.0,
        window_size=4,
        global_blocks=(0,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32, mask_channels=8),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=40, iou_head_width=12),
)
"""A grid of 6 x 9 patches, which windows of 4 don't fill; two windowed blocks in a row."""


@pytest.fixture(scope="session")
def oblong(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(OBLONG, tmp_path_factory.mktemp("oblong"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(replace(TINY, fine=None), tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def quick_compilation():
    """For gradients, which run once and take a minute to compile as users get them."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
