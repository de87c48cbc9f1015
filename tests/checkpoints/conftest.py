from collections.abc import Callable

import numpy as np
import pytest
import torch
from flax.traverse_util import unflatten_dict

from experiments.reference import official_model
from sam_jax.checkpoints import load_checkpoint
from sam_jax.checkpoints.conversion import leaf_shapes
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)
from sam_jax.types import Variables


def _small(**encoder) -> SamConfig:
    sizes = {
        "image_size": (96, 96),
        "width": 24,
        "depth": 5,
        "num_heads": 3,
        "mlp_ratio": 3.0,
        "window_size": 4,
        "global_blocks": (1, 4),
        "out_channels": 16,
    }
    return SamConfig(
        image_encoder=ImageEncoderConfig(**{**sizes, **encoder}),
        prompt_encoder=PromptEncoderConfig(width=16, mask_channels=8),
        mask_decoder=MaskDecoderConfig(
            width=16,
            depth=1,
            mlp_width=40,
            iou_head_depth=4,
            iou_head_width=12,
            num_multimask_outputs=2,
        ),
    )


@pytest.fixture(scope="session")
def small() -> Callable[..., SamConfig]:
    """A model with no number like another model's, made in no time; takes sizes of the encoder."""
    return _small


@pytest.fixture(scope="session")
def make_variables() -> Callable[[SamConfig], Variables]:
    """Random weights, none of which vanishes."""

    def make(config: SamConfig, seed: int = 0) -> Variables:
        draw = np.random.default_rng(seed)
        shapes = leaf_shapes(config)
        leaves = {path: draw.standard_normal(shape, np.float32) for path, shape in shapes.items()}
        return unflatten_dict(leaves, sep="/")

    return make


@pytest.fixture
def official(small) -> torch.nn.Module:
    """A small official model with random weights."""
    return official_model(small())


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> tuple[dict[str, torch.Tensor], Variables]:
    """The state dict of a small official model, and the same weights as our tree."""
    config = _small(depth=2, global_blocks=(1,))
    state = dict(official_model(config).state_dict())
    path = tmp_path_factory.mktemp("published") / "sam.pth"
    torch.save(state, path)
    return state, load_checkpoint(path)[1]
