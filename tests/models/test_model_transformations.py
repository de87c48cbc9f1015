"""The model's functions go through jit, vmap and grad, with NumPy's arrays and JAX's, closed over or passed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    Model,
    PromptEncoderConfig,
    SamConfig,
    decode_masks,
    encode_image,
    encode_prompts,
    init_variables,
)
from sam_jax.types import Prompts

CONFIG = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(32, 48),
        width=8,
        depth=1,
        num_heads=2,
        window_size=2,
        global_blocks=(0,),
        out_channels=8,
    ),
    prompt_encoder=PromptEncoderConfig(width=8, mask_channels=4),
    mask_decoder=MaskDecoderConfig(width=8, depth=1, num_heads=2, mlp_width=8, iou_head_width=8),
)
RNG = np.random.default_rng(0)
PIXELS = RNG.normal(size=(1, 32, 48, 3)).astype(np.float32)
POINTS = RNG.uniform(2, 30, (1, 2, 1, 2)).astype(np.float32)
LABELS = np.ones((1, 2, 1), np.int32)


def segment(variables, pixels, points):
    """Logits of masks, from pixels and foreground points."""
    model = Model(CONFIG, variables)
    prompts = encode_prompts(model, Prompts(points, LABELS))
    return decode_masks(model, encode_image(model, pixels), prompts, multimask_output=True).logits


@pytest.fixture(scope="module")
def arguments():
    """Weights, pixels and points, as NumPy's arrays."""
    return jax.tree.map(np.asarray, init_variables(CONFIG)), PIXELS, POINTS


def total(*arguments):
    logits = segment(*arguments)
    return jnp.sum(jnp.sin(logits)), logits


@pytest.fixture(scope="module")
def differentiated(arguments):
    """Gradients in each argument, and logits."""
    differentiate = jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))
    return differentiate(*jax.tree.map(jnp.asarray, arguments))


@pytest.fixture(scope="module")
def wanted(differentiated):
    return differentiated[1]


def equal(found, wanted):
    assert np.abs(np.asarray(wanted)).max() > 0
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-4, atol=1e-5)


def test_numpy_arrays_are_passed(arguments, wanted):
    equal(segment(*arguments), wanted)


def test_mapped_over_images_and_over_points(arguments, wanted):
    variables, pixels, points = arguments
    twice = np.stack([pixels, pixels])
    images = jax.jit(jax.vmap(lambda pixels: segment(variables, pixels, points)))(twice)
    equal(images, np.stack([wanted] * 2))
    turned = np.stack([points, points[:, ::-1]])
    prompts = jax.jit(jax.vmap(lambda points: segment(variables, pixels, points)))(turned)
    equal(prompts, np.stack([wanted, wanted[:, ::-1]]))


def test_gradients_where_numpy_arrays_are_closed_over(arguments, differentiated, wanted):
    (_, *gradients), _ = differentiated
    assert all(np.abs(np.asarray(leaf)).max() > 0 for leaf in gradients)
    variables, *others = arguments
    differentiate = jax.jit(
        jax.grad(lambda *others: total(variables, *others), argnums=(0, 1), has_aux=True)
    )
    found, logits = differentiate(*others)
    equal(logits, wanted)
    for mine, its in zip(found, gradients, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
