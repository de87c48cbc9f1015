from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import unflatten_dict

from experiments.reference import official_model
from sam_jax.checkpoints.conversion import official_to_leaves
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig
from sam_jax.types import Variables

OBLONG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(64, 96),
        width=24,
        depth=2,
        num_heads=3,
        window_size=3,
        global_blocks=(1,),
        out_channels=16,
    ),
    prompt_encoder=PromptEncoderConfig(width=16, mask_channels=8),
    mask_decoder=MaskDecoderConfig(width=16, num_heads=2, mlp_width=20, iou_head_width=12),
)
"""A grid of 4 x 6 patches, whose rows windows of 3 don't fill."""


@pytest.fixture(scope="session")
def config() -> SamConfig:
    return OBLONG


@pytest.fixture(scope="session")
def official() -> torch.nn.Module:
    """The official model with random weights, none of which vanishes; it keeps no gradients."""
    return official_model(OBLONG).requires_grad_(False)


@pytest.fixture(scope="session")
def variables(official) -> Variables:
    """The official model's weights in our tree."""
    state = {key: tensor.numpy() for key, tensor in official.state_dict().items()}
    leaves = official_to_leaves(state)
    return unflatten_dict(
        {path: jnp.asarray(np.asarray(leaf)) for path, leaf in leaves.items()}, sep="/"
    )


@pytest.fixture(scope="session")
def apply() -> Callable[..., Any]:
    """Applies a module with its parameters to inputs, NumPy's too, which signatures of modules don't take."""

    def run(module: nn.Module, params: Any, *inputs: Any, **options: Any) -> Any:
        # As one program: each operation by itself would compile many.
        compute = jax.jit(
            lambda params, *inputs: module.apply({"params": params}, *inputs, **options)
        )
        return compute(*jax.tree.map(jnp.asarray, (params, *inputs)))

    return run


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)
