"""One step of training, on any number of devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Key

from sam_jax.distributed import DEVICES
from sam_jax.models import Model, Sam
from sam_jax.training.parameters import pick_trainable, put_back
from sam_jax.training.rounds import Sums
from sam_jax.training.state import TrainState

GradientFunction = Callable[[Model, Any, Any, Key[Array, " b"]], tuple[Any, Sums]]
"""Model, what trains of its parameters, batch and keys to gradients and sums; see `compute_gradients`."""


class Metrics(NamedTuple):
    """Of one step: means over all masks of the batch, but for the first and the last.

    Attributes:
        masks: how many.
        loss, mask, focal, dice, iou_error, first_iou, last_iou: see `sam_jax.training.rounds.Sums`.
        gradient_norm: of all gradients together, before clipping.
    """

    masks: Float[Array, ""]
    loss: Float[Array, ""]
    mask: Float[Array, ""]
    focal: Float[Array, ""]
    dice: Float[Array, ""]
    iou_error: Float[Array, ""]
    first_iou: Float[Array, ""]
    last_iou: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def sum_gradients(
    gradients_of: GradientFunction,
    model: Model,
    trainable: Any,
    batch: Any,
    keys: Key[Array, " b"],
    micro_batches: int,
) -> tuple[Any, Sums]:
    """Gradients and sums over a batch, computed in parts of equal size that follow each other."""
    if micro_batches == 1:
        return gradients_of(model, trainable, batch, keys)

    def add(total: tuple[Any, Sums], part: tuple[Any, Array]) -> tuple[tuple[Any, Sums], None]:
        return jax.tree.map(jnp.add, total, gradients_of(model, trainable, *part)), None

    parts = jax.tree.map(
        lambda leaf: leaf.reshape(micro_batches, -1, *leaf.shape[1:]), (batch, keys)
    )
    first = jax.tree.map(lambda leaf: leaf[0], parts)
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda part: gradients_of(model, trainable, *part), first),
    )
    return jax.lax.scan(add, zeros, parts)[0]


def update_state(
    state: TrainState,
    gradients: Any,
    sums: Sums,
    optimiser: optax.GradientTransformation,
    frozen: Any,
) -> tuple[TrainState, Metrics]:
    """Move the weights by gradients that were summed over all masks of the batch."""
    masks = jnp.maximum(sums.masks, 1.0)
    gradients = jax.tree.map(lambda leaf: leaf / masks, gradients)
    trainable = pick_trainable(state.params, frozen)
    updates, opt_state = optimiser.update(gradients, state.opt_state, trainable)
    trained = optax.apply_updates(trainable, updates)
    means = {name: leaf / masks for name, leaf in sums._asdict().items() if name != "masks"}
    metrics = Metrics(
        masks=sums.masks, **means, gradient_norm=jnp.asarray(optax.tree.norm(gradients))
    )
    state = state._replace(
        step=state.step + 1, params=put_back(trained, state.params), opt_state=opt_state
    )
    return state, metrics


def image_keys(state: TrainState, images: int) -> Key[Array, " images"]:
    """One key for each image of the coming step, the same however the batch is divided."""
    return jax.random.split(jax.random.fold_in(state.key, state.step), images)


def make_train_step(
    gradients_of: GradientFunction,
    sam: Sam,
    optimiser: optax.GradientTransformation,
    frozen: Any,
    micro_batches: int,
    mesh: Mesh,
    specs: TrainState,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """The compiled step; the state that it is given is used up.

    Each device computes the gradients of its own images, for which it gathers the parameters, and gets its own part of
    the gradients' sum over devices; the update is of what it holds.

    Args:
        gradients_of: of a part of a batch.
        sam: the model without weights.
        optimiser: from `make_optimiser`.
        frozen: from `find_frozen`.
        micro_batches: parts of a device's share that follow each other.
        mesh: from `device_mesh`.
        specs: where the leaves of the state lie, from `parameter_specs`.
    """
    trainable_specs = pick_trainable(specs.params, frozen)

    def gather(spec: PartitionSpec, leaf: Array) -> Array:
        axis = _divided_axis(spec)
        return leaf if axis is None else jax.lax.all_gather(leaf, DEVICES, axis=axis, tiled=True)

    def scatter_sum(spec: PartitionSpec, leaf: Array) -> Array:
        axis = _divided_axis(spec)
        if axis is None:
            return jax.lax.psum(leaf, DEVICES)
        return jax.lax.psum_scatter(leaf, DEVICES, scatter_dimension=axis, tiled=True)

    def of_device(
        params: Any, constants: Any, batch: Any, keys: Key[Array, " b"]
    ) -> tuple[Any, Sums]:
        whole = jax.tree.map(gather, specs.params, params)
        model = Model(sam.config, {"params": whole, **constants}, sam.compute)
        trainable = pick_trainable(whole, frozen)
        gradients, sums = sum_gradients(gradients_of, model, trainable, batch, keys, micro_batches)
        gradients = jax.tree.map(scatter_sum, trainable_specs, gradients)
        return gradients, jax.lax.psum(sums, DEVICES)

    everywhere, divided = PartitionSpec(), PartitionSpec(DEVICES)
    of_all_devices = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(specs.params, specs.constants, divided, divided),
        out_specs=(trainable_specs, everywhere),
        check_vma=False,  # it would sum gradients by itself, and not where they are divided
    )

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        images = jax.tree.leaves(batch)[0].shape[0]
        keys = image_keys(state, images)
        gradients, sums = of_all_devices(state.params, state.constants, batch, keys)
        return update_state(state, gradients, sums, optimiser, frozen)

    of_state = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(of_state, NamedSharding(mesh, divided)),
        out_shardings=(of_state, NamedSharding(mesh, everywhere)),
    )


def _divided_axis(spec: PartitionSpec) -> int | None:
    return next((axis for axis, name in enumerate(spec) if name == DEVICES), None)
