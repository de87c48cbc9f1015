from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import sam_jax
from experiments.reference import official_model
from sam_jax.models import (
    TINY,
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)


class Pair(NamedTuple):
    """The same weights in both implementations."""

    config: SamConfig
    torch_model: torch.nn.Module
    model: sam_jax.Model


def make_pair(config: SamConfig, folder: Path) -> Pair:
    reference = official_model(config)
    torch.save(reference.state_dict(), folder / "official.pth")
    return Pair(config, reference, sam_jax.load(folder / "official.pth"))


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
    return make_pair(TINY, tmp_path_factory.mktemp("tiny"))
