import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from sam_jax.models import (
    TINY,
    VIT_B,
    VIT_H,
    VIT_L,
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    SamConfig,
    abstract_variables,
    encode_image,
    init_variables,
)
from sam_jax.types import InputError

SMALL = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(64, 96),
        width=32,
        depth=2,
        num_heads=2,
        window_size=3,
        global_blocks=(1,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=64, iou_head_width=32),
)


@pytest.mark.parametrize(
    ("config", "count"),
    [(VIT_B, 93_735_472), (VIT_L, 312_342_832), (VIT_H, 641_090_608), (TINY, 5_119_501)],
    ids=["vit_b", "vit_l", "vit_h", "tiny"],
)
def test_number_of_parameters(config, count):
    leaves = jax.tree.leaves(abstract_variables(config)["params"])
    assert sum(math.prod(leaf.shape) for leaf in leaves) == count


def test_a_model_passes_through_jit_and_grad():
    model = Model(SMALL, init_variables(SMALL))
    pixels = jnp.ones((1, 64, 96, 3))
    gradients = jax.jit(jax.grad(lambda m: jnp.square(encode_image(m, pixels)).mean()))(model)
    assert isinstance(gradients, Model)
    assert float(jnp.abs(gradients.variables["params"]["image_encoder"]["pos_embed"]).max()) > 0


def test_widths_that_differ_are_refused():
    with pytest.raises(InputError, match=r"have one width, not \[32, 64\]"):
        replace(SMALL, prompt_encoder=PromptEncoderConfig(width=64))


def test_a_tree_of_shapes_is_the_callers_own():
    changed = abstract_variables(SMALL)
    del changed["params"]["image_encoder"]
    assert abstract_variables(SMALL)["params"].keys() == init_variables(SMALL)["params"].keys()
