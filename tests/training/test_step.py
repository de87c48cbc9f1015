"""One step, on one device and on eight."""

import dataclasses
import math
import re
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.data.framing import normalise
from sam_jax.distributed import device_mesh, place_batch
from sam_jax.distributed.mesh import LEAST_DIVIDED
from sam_jax.models import encode_image
from sam_jax.models.compute import IN_TRAINING_ON_CPU
from sam_jax.training.config import Execution
from sam_jax.training.interaction import Metrics
from sam_jax.training.parameters import pick_trainable, put_back
from sam_jax.training.preparation import first_state, prepare
from sam_jax.training.state import TrainState
from sam_jax.training.step import (
    accumulate_gradients,
    compute_gradients,
    image_keys,
    make_train_step,
    update_state,
)

from .conftest import CONFIG

WIDER = dataclasses.replace(
    CONFIG.model,
    image_encoder=dataclasses.replace(CONFIG.model.image_encoder, width=64, depth=2),
)
"""Some of its parameters are large enough to be divided."""
ENCODER_ONLY = dataclasses.replace(
    CONFIG, model=WIDER, frozen=("prompt_encoder/*", "mask_decoder/*")
)
BY_BLOCK = {
    "compute": dataclasses.replace(IN_TRAINING_ON_CPU, remat=True, scan_blocks=True),
    "parameters": "sharded",
}


def encoder_gradients(model, trainable, batch, keys):
    """Compiles in a moment, and depends on all that a session depends on: weights, images, masks, keys."""

    def loss(trainable):
        params = put_back(trainable, model.variables["params"])
        embeddings = encode_image(
            model.replace(variables={**model.variables, "params": params}),
            normalise(batch.images, batch.fitted),
        )
        wanted = jax.vmap(lambda key: jax.random.normal(key, embeddings.shape[1:]))(keys)
        errors = ((embeddings - wanted) ** 2).mean((1, 2, 3))
        masks = batch.valid.sum(1, dtype=jnp.float32)
        loss = (errors * masks).sum()
        return loss, Metrics(masks.sum(), *[loss] * 7)

    return jax.grad(loss, has_aux=True)(trainable)


def make_step(config, plan, gradients_of):
    return make_train_step(
        gradients_of,
        plan.objective.make_model,
        plan.optimiser,
        plan.frozen,
        config.execution.micro_batches,
        plan.mesh,
        plan.specs,
        jnp.dtype(jnp.float32),
    )


class Run(NamedTuple):
    """A few steps.

    Attributes:
        before: The parameters before the first step, in the memory of this machine.
        state: The state after the last step.
        metrics: Metrics of each step.
    """

    before: Any
    state: TrainState
    metrics: list[Any]

    @property
    def moves(self):
        return jax.tree.map(np.subtract, jax.device_get(self.state.params), self.before)


def run(config, batch, devices, gradients_of, steps=2):
    plan = prepare(config, device_mesh(jax.devices()[:devices]))
    step = make_step(config, plan, gradients_of)
    state = first_state(config, plan)
    before, metrics = jax.device_get(state.params), []
    for _ in range(steps):
        with jax.transfer_guard("disallow"):
            state, *of_step = step(state, place_batch(batch, plan.mesh))
        metrics.append(jax.device_get(of_step))
    return Run(before, state, metrics)


def with_execution(config, **settings):
    return dataclasses.replace(config, execution=Execution(**settings))


@pytest.fixture(scope="module")
def on_one_device(batch):
    return run(ENCODER_ONLY, batch, 1, encoder_gradients)


@pytest.mark.parametrize(
    ("devices", "settings"),
    [
        (8, {}),
        (8, BY_BLOCK),
        (1, {"micro_batches": 4}),
        (4, {"micro_batches": 2, "parameters": "sharded", "sharded_over": 2}),
    ],
    ids=["replicated", "by block", "micro-batches", "copies of parts"],
)
def test_a_step_is_the_same_however_it_is_divided(
    batch, on_one_device, relative_difference, devices, settings
):
    other = run(with_execution(ENCODER_ONLY, **settings), batch, devices, encoder_gradients)
    for mine, theirs in zip(other.metrics, on_one_device.metrics, strict=True):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), mine, theirs)
    # Adam makes full steps of gradients that are only rounding, such as those of keys' biases.
    assert relative_difference(other.moves, on_one_device.moves) < 5e-3
    assert relative_difference(other.state.opt_state, on_one_device.state.opt_state) < 1e-5


def on_no_device(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(np.asarray(jax.random.key_data(leaf)))
    return np.asarray(leaf)


def test_under_pmap_too(batch, on_one_device, relative_difference):
    plan = prepare(ENCODER_ONLY, device_mesh(jax.devices()[:1]))
    devices = 8

    @partial(jax.pmap, axis_name="devices", in_axes=(None, 0, 0))
    def step(state, batch, keys):
        model = plan.objective.make_model({"params": state.params, **state.constants})
        trainable = pick_trainable(state.params, plan.frozen)
        gradients, sums = jax.lax.psum(
            accumulate_gradients(encoder_gradients, model, trainable, batch, keys, 1), "devices"
        )
        return update_state(state, gradients, sums, plan.optimiser, plan.frozen)

    divided = jax.tree.map(lambda leaf: leaf.reshape(devices, -1, *leaf.shape[1:]), batch)
    mine = jax.tree.map(on_no_device, first_state(ENCODER_ONLY, plan))
    for expected in on_one_device.metrics:
        keys = on_no_device(image_keys(mine, len(batch.images)).reshape(devices, -1))
        of_devices = jax.tree.map(on_no_device, step(mine, divided, keys))
        mine, *of_step = jax.tree.map(lambda leaf: leaf[0], of_devices)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), of_step, expected)
    moves = jax.tree.map(np.subtract, mine.params, on_one_device.before)
    assert relative_difference(mine.opt_state, on_one_device.state.opt_state) < 1e-4
    assert relative_difference(moves, on_one_device.moves) < 5e-3


@pytest.fixture(scope="module")
def by_block(batch):
    """A plan, its state and its compiled step, with parameters that are gathered block by block."""
    config = with_execution(ENCODER_ONLY, **BY_BLOCK)
    plan = prepare(config, device_mesh(jax.devices()))
    state = first_state(config, plan)
    step = make_step(config, plan, encoder_gradients)
    return plan, state, step.lower(state, place_batch(batch, plan.mesh)).compile()


def test_sharded_parameters_lie_in_parts(by_block):
    _, state, _ = by_block
    kernel = state.params["image_encoder"]["blocks_0"]["attn"]["qkv"]["kernel"]
    assert kernel.shape == (64, 192)
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(64, 24)}
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.shape == (64, 192)]
    assert len(moments) == 2 * 2
    assert all(leaf.sharding == kernel.sharding for leaf in moments)


def test_small_parameters_are_whole(by_block):
    _, state, _ = by_block
    for leaf in jax.tree.leaves((state.params, state.opt_state)):
        is_whole = leaf.sharding.is_fully_replicated
        assert is_whole == (leaf.size < LEAST_DIVIDED), leaf.shape


def collectives(program):
    """Kind and shapes of each collective of a compiled program."""
    found = re.findall(
        r"= (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(",
        program.as_text(),
    )
    return [
        (kind, [math.prod(map(int, filter(None, sides.split(",")))) for sides in shapes])
        for result, kind in found
        if (shapes := re.findall(r"\[([\d,]*)\]", result))
    ]


def test_parameters_are_gathered_and_gradients_scattered_block_by_block(by_block):
    plan, state, program = by_block
    kernels = {"qkv": 64 * 192, "lin1": 64 * 256, "lin2": 64 * 256}
    patches = 16 * 16 * 3 * 64
    found = collectives(program)
    gathered = sorted(size for kind, sizes in found if kind == "all-gather" for size in sizes)
    # The loop over blocks has one, which is gathered forward and again backward.
    assert gathered == sorted([*kernels.values()] * 2 + [patches])
    scattered = sorted(size for kind, sizes in found if kind == "reduce-scatter" for size in sizes)
    assert scattered == sorted(size // 8 for size in [*kernels.values(), patches])
    added = [size for kind, sizes in found if kind == "all-reduce" for size in sizes]
    trained = jax.tree.leaves(pick_trainable(state.params, plan.frozen))
    assert max(added) == sum(leaf.size for leaf in trained if leaf.size < LEAST_DIVIDED)
    assert {kind for kind, _ in found} == {"all-gather", "reduce-scatter", "all-reduce"}


def test_frozen_parameters_stay_and_have_no_optimiser_state(on_one_device):
    before, state = on_one_device.before, on_one_device.state
    after = jax.device_get(state.params)
    for part in ("prompt_encoder", "mask_decoder"):
        jax.tree.map(np.testing.assert_array_equal, after[part], before[part])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after, before)
    assert all(jax.tree.leaves(moved["image_encoder"]))
    trained = len(jax.tree.leaves(before["image_encoder"]))
    assert (
        len(jax.tree.leaves(state.opt_state)) == 2 * trained + 2
    )  # moments, and two counts of steps


def test_metrics_are_means_over_masks(batch, on_one_device):
    assert int(on_one_device.state.step) == 2
    (first, first_norm), (second, second_norm) = on_one_device.metrics
    assert first.masks == batch.valid.sum()
    assert first.loss == pytest.approx(first.dice)
    assert 0.5 < first.loss < 4
    assert 0.5 < second.loss < 4
    assert min(first_norm, second_norm) > 0


def test_a_batch_without_masks_changes_nothing_but_the_count(batch):
    empty = batch._replace(valid=np.zeros_like(batch.valid))
    config = dataclasses.replace(
        ENCODER_ONLY,
        model=CONFIG.model,
        optimiser=dataclasses.replace(CONFIG.optimiser, weight_decay=0.0),
    )
    alone = run(config, empty, 1, encoder_gradients, steps=1)
    ((means, norm),) = alone.metrics
    assert (means.masks, means.loss, norm) == (0, 0, 0)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(alone.state.params), alone.before)
    assert int(alone.state.step) == 1


def test_the_state_is_used_up(batch):
    plan = prepare(ENCODER_ONLY, device_mesh(jax.devices()[:1]))
    state = first_state(ENCODER_ONLY, plan)
    make_step(ENCODER_ONLY, plan, encoder_gradients)(state, place_batch(batch, plan.mesh))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))


@pytest.mark.slow
def test_a_step_of_sam_is_the_same_on_eight_devices(batch, relative_difference):
    play = partial(compute_gradients, interaction=CONFIG.interaction)
    one = run(CONFIG, batch, 1, play)
    assert one.metrics[1][0].loss < one.metrics[0][0].loss
    eight = run(with_execution(CONFIG, parameters="sharded"), batch, 8, play)
    for mine, theirs in zip(eight.metrics, one.metrics, strict=True):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), mine, theirs)
    assert relative_difference(eight.state.opt_state, one.state.opt_state) < 1e-4
    assert relative_difference(eight.moves, one.moves) < 5e-3


def test_states_of_equal_seeds_are_equal(batch):
    plan = prepare(CONFIG, device_mesh(jax.devices()[:1]))
    one, two = (first_state(CONFIG, plan) for _ in range(2))
    assert isinstance(one, TrainState)
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
    other = first_state(dataclasses.replace(CONFIG, seed=1), plan)
    assert (image_keys(one, 2) == image_keys(two, 2)).all()
    assert (image_keys(one, 2) != image_keys(other, 2)).all()
    kernels = (state.params["image_encoder"]["patch_embed"]["kernel"] for state in (one, other))
    assert not np.array_equal(*kernels)
