"""One training step, read from top to bottom: loss, gradients, their sum over devices, update.

A device holds some images of the batch, and of each parameter the whole or a part. `compute_loss` and
`compute_gradients` see one device's images, and modules whole parameters; `make_train_step` adds up what the devices
computed, and `update_state` moves the parameters where they lie.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Key

from sam_jax.data.example import Batch
from sam_jax.data.framing import normalise
from sam_jax.distributed import DATA, DEVICES, FSDP, divided_axis
from sam_jax.models import DividedParameter, Model, encode_image
from sam_jax.training.embeddings import EmbeddedBatch
from sam_jax.training.interaction import Interaction, Metrics, Session, simulate_session
from sam_jax.training.parameters import is_in_block, map_paths, pick_trainable, put_back
from sam_jax.training.state import TrainState
from sam_jax.types import Variables


@runtime_checkable
class Sums(Protocol):
    """A NamedTuple of metrics that are summed over what an objective counts, so that parts of a batch add up."""

    @property
    def total(self) -> Float[Array, ""]:
        """Number of masks, or of whatever else the objective is a mean of."""
        ...

    def means(self) -> "Sums":
        """Means in place of sums; 0 where there is nothing."""
        ...


GradientFunction = Callable[[Any, Any, Any, Key[Array, " b"]], tuple[Any, Any]]
"""A function of the model, the parameters that train, a batch and its keys that returns gradients and metrics, both
summed (`Sums`); `compute_gradients` is one."""

TrainStep = Callable[[TrainState, Any], tuple[TrainState, Any, Float[Array, ""]]]
"""A function of the state and a batch that returns the next state, means of the metrics, and the norm of the gradients
before they are clipped."""


def compute_loss(
    model: Model,
    batch: Batch | EmbeddedBatch,
    keys: Key[Array, " b"],
    interaction: Interaction,
    *,
    drop_path: float = 0.0,
) -> tuple[Metrics, Session]:
    """Encode the images, unless they are encoded already, and simulate a session for every mask.

    Args:
        model: The model with all its weights.
        batch: Images or image embeddings, and truth.
        keys: One key for each image.
        interaction: Settings of the simulated annotator.
        drop_path: Probability of dropping a residual branch of the last encoder block; see `draw_drop_path`.

    Returns:
        Metrics summed over masks, of which `loss` is minimised, and what happened in the sessions.
    """
    key_path, key_session = jax.vmap(lambda key: jax.random.split(key), out_axes=1)(keys)
    if isinstance(batch, EmbeddedBatch):
        embeddings = jax.tree.map(jnp.asarray, batch.embeddings)
    else:
        factors = None
        if drop_path > 0:
            depth = model.config.image_encoder.depth
            draw = jax.vmap(lambda key: draw_drop_path(key, depth, drop_path), out_axes=1)
            factors = draw(key_path)
        embeddings = encode_image(model, normalise(batch.images, batch.fitted), factors)
    return simulate_session(
        model,
        embeddings,
        batch.fitted,
        batch.masks,
        batch.valid,
        key_session,
        interaction,
        batch.text,
    )


def draw_drop_path(key: Key[Array, ""], depth: int, rate: float) -> Float[Array, "depth 2"]:
    """Factors of the two residual branches of every encoder block for one image.

    A branch is dropped with a probability that rises linearly from 0 in the first block to `rate` in the last. Its
    factor is then 0, and otherwise the one that keeps the mean.

    Source: [Huang et al. 2016](https://arxiv.org/abs/1603.09382), Deep Networks with Stochastic Depth, section 3.
    """
    keep = 1 - jnp.linspace(0.0, rate, depth)[:, None]
    return jax.random.bernoulli(key, keep, (depth, 2)).astype(jnp.float32) / keep


def compute_gradients(
    model: Model,
    trainable: Any,
    batch: Batch | EmbeddedBatch,
    keys: Key[Array, " b"],
    interaction: Interaction,
    *,
    drop_path: float = 0.0,
) -> tuple[Any, Metrics]:
    """Gradients of the loss, and metrics, both summed over masks: sums over parts of a batch add up to the whole.

    Args:
        model: The model with all its weights.
        trainable: The parameters to differentiate by: the tree of `params` with None in place of other leaves.
        batch: Images or image embeddings, and truth.
        keys: One key for each image.
        interaction: Settings of the simulated annotator.
        drop_path: Probability of dropping a residual branch of the last encoder block; see `draw_drop_path`.
    """

    def loss(trainable: Any) -> tuple[Float[Array, ""], Metrics]:
        params = put_back(trainable, model.variables["params"])
        moved = Model(model.config, {**model.variables, "params": params}, model.compute)
        metrics, _ = compute_loss(moved, batch, keys, interaction, drop_path=drop_path)
        return metrics.loss, metrics

    return jax.grad(loss, has_aux=True)(trainable)


def accumulate_gradients(
    gradients_of: GradientFunction,
    model: Any,
    trainable: Any,
    batch: Any,
    keys: Key[Array, " b"],
    micro_batches: int,
) -> tuple[Any, Any]:
    """Gradients and metrics of a batch that is computed in `micro_batches` equal parts, one after another."""
    if micro_batches == 1:
        return gradients_of(model, trainable, batch, keys)

    def add(total: tuple[Any, Metrics], part: tuple[Any, Array]) -> tuple[Any, None]:
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
) -> tuple[TrainState, Any, Float[Array, ""]]:
    """Move the parameters by the mean of the gradients over all that the objective counts in the batch.

    Args:
        state: The state before the step.
        gradients: Gradients, summed over the whole batch.
        sums: Metrics, summed likewise.
        optimiser: The optimiser, from `make_optimiser`.
        frozen: The tree that marks frozen parameters, from `find_frozen`.

    Returns:
        See `TrainStep`.
    """
    divisor = jnp.maximum(sums.total, 1.0)
    gradients = jax.tree.map(lambda leaf: leaf / divisor, gradients)
    trainable = pick_trainable(state.params, frozen)
    updates, opt_state = optimiser.update(gradients, state.opt_state, trainable)
    trained = optax.apply_updates(trainable, updates)
    state = state._replace(
        step=state.step + 1, params=put_back(trained, state.params), opt_state=opt_state
    )
    return state, sums.means(), jnp.asarray(optax.tree.norm(gradients))


def make_train_step(
    gradients_of: GradientFunction,
    make_model: Callable[[Variables], Any],
    optimiser: optax.GradientTransformation,
    frozen: Any,
    micro_batches: int,
    mesh: Mesh,
    specs: TrainState,
    dtype: jnp.dtype,
) -> TrainStep:
    """The compiled training step. The state that it is given is used up: its memory becomes that of the next.

    The collectives are written by hand, under `jax.shard_map`: each device computes the gradients of its own images,
    with the parameters of a block gathered when the block needs them (`DividedParameter`), and those of all the rest
    before. Of the gradients of what is divided it gets its part of the sum, by `psum_scatter`: of a block's as soon as
    they are known, of the rest's at the end. What is not divided is small, and is added up in one piece.

    Under `jit` alone XLA would divide the arithmetic of every layer along the axes of the divided parameters, with
    collectives in between.

    Args:
        gradients_of: The function that computes gradients of a part of a batch.
        make_model: Makes the model that `gradients_of` takes of its weights.
        optimiser: The optimiser, from `make_optimiser`.
        frozen: The tree that marks frozen parameters, from `find_frozen`.
        micro_batches: The number of parts, computed one after another, of a device's share of the batch.
        mesh: The devices, from `device_mesh`.
        specs: Where the leaves of the state lie, from `parameter_specs`.
        dtype: Dtype that the model's blocks compute in.
    """
    trainable_specs = pick_trainable(specs.params, frozen)
    everywhere, divided = PartitionSpec(), PartitionSpec(DEVICES)

    def show(path: str, spec: PartitionSpec, part: Array) -> Any:
        """What the model sees in place of a device's part of a parameter."""
        axis = divided_axis(spec)
        if axis is None:
            return part
        if is_in_block(path):
            return DividedParameter(part, axis, FSDP, dtype)
        return jax.lax.all_gather(part, FSDP, axis=axis, tiled=True)

    def gradients_on_device(
        params: Any, constants: Any, batch: Any, keys: Key[Array, " b"]
    ) -> tuple[Any, Any]:
        shown = jax.tree.map(show, map_paths(str, params), specs.params, params)
        model = make_model({"params": shown, **constants})
        trainable = pick_trainable(shown, frozen)
        gradients, sums = accumulate_gradients(
            gradients_of, model, trainable, batch, keys, micro_batches
        )
        return _sum_over_devices(trainable_specs, gradients), jax.lax.psum(sums, DEVICES)

    gradients_on_all_devices = jax.shard_map(
        gradients_on_device,
        mesh=mesh,
        in_specs=(specs.params, specs.constants, divided, divided),
        out_specs=(trainable_specs, everywhere),
        check_vma=False,  # It would add up gradients a second time, and not where they are divided.
    )

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Any, Float[Array, ""]]:
        keys = image_keys(state, images=jax.tree.leaves(batch)[0].shape[0])
        gradients, sums = gradients_on_all_devices(state.params, state.constants, batch, keys)
        return update_state(state, gradients, sums, optimiser, frozen)

    of_state = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    of_metrics = NamedSharding(mesh, everywhere)
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(of_state, NamedSharding(mesh, divided)),
        out_shardings=(of_state, of_metrics, of_metrics),
    )


def image_keys(state: TrainState, images: int) -> Key[Array, " images"]:
    """One key for each image of the coming step, the same however the batch is divided."""
    return jax.random.split(jax.random.fold_in(state.key, state.step), images)


def _sum_over_devices(specs: Any, gradients: Any) -> Any:
    """Sums over devices; of a divided leaf, only the part that this device holds."""

    def scatter(spec: PartitionSpec, gradient: Any) -> Array:
        if isinstance(gradient, DividedParameter):
            return gradient.part
        axis = divided_axis(spec)
        if axis is None:
            return gradient
        return jax.lax.psum_scatter(gradient, FSDP, scatter_dimension=axis, tiled=True)

    leaves, structure = jax.tree.flatten(jax.tree.map(scatter, specs, gradients))
    is_whole = [divided_axis(spec) is None for spec in jax.tree.leaves(specs)]
    whole, unpack = ravel_pytree([leaf for leaf, yes in zip(leaves, is_whole, strict=True) if yes])
    sums = iter(unpack(jax.lax.psum(whole, DEVICES)))
    # Copies of the parameters, if there are several, may have slower links between them: parts alone go through these.
    return structure.unflatten(
        [
            next(sums) if yes else jax.lax.psum(leaf, DATA)
            for leaf, yes in zip(leaves, is_whole, strict=True)
        ]
    )
