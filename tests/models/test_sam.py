import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models import (
    TINY,
    VIT_B,
    VIT_H,
    VIT_L,
    Compute,
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    Sam,
    SamConfig,
    abstract_variables,
    encode_image,
    init_variables,
)
from sam_jax.types import InputError, Prompts

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


def test_initial_weights_follow_the_modules_initialisers():
    pixels = jnp.zeros((1, 64, 96, 3))
    prompts = Prompts(
        jnp.zeros((1, 1, 1, 2)), jnp.ones((1, 1, 1), jnp.int32), jnp.zeros((1, 1, 16, 24))
    )
    theirs = Sam(SMALL).init(jax.random.key(0), pixels, prompts, multimask_output=True)
    ours = init_variables(SMALL, seed=0)
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, theirs)
    for path, leaf in jax.tree.leaves_with_path(ours):
        other = np.asarray(dict(jax.tree.leaves_with_path(theirs))[path])
        few = 6 * other.std() / math.sqrt(leaf.size) + 1e-9
        assert abs(leaf.mean() - other.mean()) <= 2 * few, path
        assert abs(leaf.std() - other.std()) <= few, path


def test_initial_weights_depend_on_the_seed_alone():
    one, again, other = (init_variables(SMALL, seed) for seed in (1, 1, 2))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, again))
    kernel = ("params", "mask_decoder", "iou_prediction_head", "layers_0", "kernel")
    for key in kernel:
        one, other = one[key], other[key]
    assert not np.array_equal(one, other)


def test_a_model_passes_through_jit_and_grad():
    model = Model(SMALL, init_variables(SMALL))
    pixels = jnp.ones((1, 64, 96, 3))
    gradients = jax.jit(jax.grad(lambda m: jnp.square(encode_image(m, pixels)).mean()))(model)
    assert isinstance(gradients, Model)
    assert float(jnp.abs(gradients.variables["params"]["image_encoder"]["pos_embed"]).max()) > 0


def test_encoder_refuses_another_size():
    model = Model(SMALL, init_variables(SMALL))
    with pytest.raises(InputError, match=r"padded to \(64, 96\) \(h, w\), not \(96, 64\)"):
        encode_image(model, jnp.zeros((1, 96, 64, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (64, 100)}, "image_size 64x100 .* multiples of the patch size, 16"),
        ({"num_heads": 3}, "width 32 is not divisible by num_heads 3"),
        ({"global_blocks": (1, 0)}, "global_blocks"),
        ({"global_blocks": (2,)}, "global_blocks"),
    ],
)
def test_impossible_encoders_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(SMALL.image_encoder, **change)


def test_widths_that_differ_are_refused():
    with pytest.raises(InputError, match=r"have one width, not \[32, 64\]"):
        replace(SMALL, prompt_encoder=PromptEncoderConfig(width=64))


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"rows_at_once": 0}])
def test_impossible_computations_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        Compute(**change)
