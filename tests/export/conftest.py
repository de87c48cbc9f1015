from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

from experiments.parity import Pair, make_pair
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)

SMALL = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(128, 128),
        width=24,
        depth=2,
        num_heads=3,
        window_size=3,
        global_blocks=(1,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32, mask_channels=8),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=40, iou_head_width=12),
)
"""A grid of 8 x 8 patches, which windows of 3 don't fill; the official exporter knows only square inputs."""

Session = onnxruntime.InferenceSession


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def open_session() -> Callable[[Any], Session]:
    """Opens an ONNX model in memory, or a file."""

    def open_model(model: Any) -> Session:
        content = model.SerializeToString() if hasattr(model, "SerializeToString") else str(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return Session(content, options, providers=["CPUExecutionProvider"])

    return open_model


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)
