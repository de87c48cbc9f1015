"""Images, or prompts, that are divided among devices: each computes its own under `jax.jit`, and asks for nothing."""

import re

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from sam_jax.distributed import DEVICES, device_mesh
from sam_jax.models import (
    Compute,
    Model,
    decode_masks,
    encode_image,
    encode_prompts,
    init_variables,
)
from sam_jax.types import Prompts

from .test_model_transformations import CONFIG

COUNT = 4
IN_LOOPS = Compute(rows_at_once=1, tokens_at_once=2, prompts_at_once=COUNT, scan_blocks=True)
"""Loops wherever there can be one."""
RNG = np.random.default_rng(0)
COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


@pytest.fixture(scope="module")
def model():
    return Model(CONFIG, init_variables(CONFIG), IN_LOOPS)


def divided_and_whole(function, model, divide, *arguments):
    """Results with arguments that are divided, checked to be without collectives, and with arguments that are not.

    `divide` has a `PartitionSpec` for each argument.
    """
    mesh = device_mesh(jax.devices()[:COUNT])
    model = jax.device_put(model, NamedSharding(mesh, PartitionSpec()))
    placed = jax.device_put(arguments, tuple(NamedSharding(mesh, spec) for spec in divide))
    program = jax.jit(function).lower(model, *placed).compile()
    assert not re.findall(rf"= .*\b(?:{COLLECTIVES})\b.*", program.as_text())
    result = program(model, *placed)
    assert all(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(result))
    return jax.device_get((result, jax.jit(function)(*jax.device_get((model, *arguments)))))


def assert_equal(mine, wanted):
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(wanted))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), mine, wanted)


def test_images_are_encoded_where_they_lie(model):
    pixels = RNG.normal(size=(COUNT, 32, 48, 3)).astype(np.float32)
    assert_equal(*divided_and_whole(encode_image, model, (PartitionSpec(DEVICES),), pixels))


def decode(model, embeddings, points):
    prompts = encode_prompts(model, Prompts(points, np.ones(points.shape[:-1], np.int32)))
    return decode_masks(model, embeddings, prompts, multimask_output=True)


@pytest.mark.parametrize(
    ("images", "prompts", "divide"),
    [
        (COUNT, 3, (PartitionSpec(DEVICES), PartitionSpec(DEVICES))),
        (1, 2 * COUNT, (PartitionSpec(), PartitionSpec(None, DEVICES))),
    ],
    ids=["images", "prompts"],
)
def test_masks_are_decoded_where_images_or_prompts_lie(model, images, prompts, divide):
    embeddings = RNG.normal(size=(images, 2, 3, 8)).astype(np.float32)
    points = RNG.uniform(2, 30, (images, prompts, 1, 2)).astype(np.float32)
    assert_equal(*divided_and_whole(decode, model, divide, embeddings, points))
