import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models import Sam, init_variables
from sam_jax.types import Prompts


def test_initial_weights_follow_the_modules_initialisers(config):
    # One layer of each kind: compiling what draws a leaf takes long.
    config = replace(
        config,
        image_encoder=replace(config.image_encoder, depth=1, global_blocks=(0,)),
        mask_decoder=replace(config.mask_decoder, depth=1, num_multimask_outputs=1),
    )
    height, width = config.image_encoder.image_size
    prompts = Prompts(
        jnp.zeros((1, 1, 1, 2)),
        jnp.ones((1, 1, 1), jnp.int32),
        jnp.zeros((1, 1, height // 4, width // 4)),
    )
    pixels = jnp.zeros((1, height, width, 3))
    initialise = jax.jit(partial(Sam(config).init, multimask_output=True))
    theirs = initialise(jax.random.key(0), pixels, prompts)
    ours = init_variables(config, seed=0)
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, theirs)
    other_leaves = dict(jax.tree.leaves_with_path(theirs))
    for path, leaf in jax.tree.leaves_with_path(ours):
        other = np.asarray(other_leaves[path])
        few = 6 * other.std() / math.sqrt(leaf.size) + 1e-9
        assert abs(leaf.mean() - other.mean()) <= 2 * few, path
        assert abs(leaf.std() - other.std()) <= few, path


def test_initial_weights_depend_on_the_seed_alone(config):
    one, again, other = (init_variables(config, seed) for seed in (1, 1, 2))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, again))
    kernel = ("params", "mask_decoder", "iou_prediction_head", "layers_0", "kernel")
    for key in kernel:
        one, other = one[key], other[key]
    assert not np.array_equal(one, other)


def test_a_leaf_does_not_depend_on_the_others(config):
    deeper = replace(config, image_encoder=replace(config.image_encoder, depth=3))
    one, other = (init_variables(c)["params"]["image_encoder"] for c in (config, deeper))
    assert set(other) - set(one) == {"blocks_2"}
    for name in one:
        assert jax.tree.all(jax.tree.map(np.array_equal, one[name], other[name])), name
    kernels = [other[f"blocks_{index}"]["mlp"]["lin1"]["kernel"] for index in range(3)]
    assert not np.array_equal(kernels[0], kernels[1])


def test_scales_are_those_of_the_layers(config):
    params = init_variables(config)["params"]
    block = params["image_encoder"]["blocks_0"]
    assert (block["norm1"]["scale"] == 1).all()
    assert not block["norm1"]["bias"].any()
    assert not block["attn"]["rel_pos_h"].any()
    assert block["attn"]["qkv"]["kernel"].std() == pytest.approx(24**-0.5, rel=0.1)
    kernel = params["image_encoder"]["patch_embed"]["kernel"]
    assert kernel.std() == pytest.approx((16 * 16 * 3) ** -0.5, rel=0.1)
    assert params["image_encoder"]["pos_embed"].std() == pytest.approx(0.02, rel=0.1)
    assert params["mask_decoder"]["mask_tokens"].std() == pytest.approx(1, rel=0.2)
