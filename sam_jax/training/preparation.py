"""What a run needs before its first step: devices, optimiser, compiled step, state."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from sam_jax.distributed import check_divisible, device_mesh, parameter_specs
from sam_jax.messages import print_line
from sam_jax.models import Compute, default_compute, suit
from sam_jax.training.config import (
    DetectionConfig,
    PretrainConfig,
    RunSettings,
    TrainConfig,
)
from sam_jax.training.detection import Detection
from sam_jax.training.mae import MaskedPainting
from sam_jax.training.matching import Matching
from sam_jax.training.objective import Objective
from sam_jax.training.optimiser import make_optimiser, make_schedule
from sam_jax.training.phrase_config import PhraseConfig
from sam_jax.training.segmentation import Segmentation
from sam_jax.training.state import TrainState, create_state
from sam_jax.training.step import TrainStep, make_train_step
from sam_jax.types import InputError


class Preparation(NamedTuple):
    """What stays the same from step to step.

    Attributes:
        mesh: All devices, laid out as the configuration says.
        objective: What the run minimises.
        optimiser: The optimiser of the parameters that train.
        schedule: The learning rate as a function of the step.
        frozen: The tree that marks frozen parameters.
        abstract_state: Shapes and dtypes of the state.
        specs: Where the leaves of the state lie on the mesh.
        train_step: The compiled training step.
    """

    mesh: Mesh
    objective: Objective
    optimiser: optax.GradientTransformation
    schedule: optax.Schedule
    frozen: Any
    abstract_state: TrainState
    specs: TrainState
    train_step: TrainStep


def prepare(config: RunSettings, mesh: Mesh | None = None) -> Preparation:
    """Work out all that can be known before data and weights are read.

    Args:
        config: Configuration of the run.
        mesh: Devices to run on, which are laid out anew as the configuration says; the default is all devices of all
            processes. Where attention is chosen, an `AbstractMesh` of that layout will do for tracing.

    Raises:
        InputError: The batch or the parameters cannot be divided over the devices, a pattern of `frozen` fits nothing,
            or `cache_embeddings` is set although the encoder trains.
    """
    execution = config.execution
    if not isinstance(mesh, AbstractMesh):
        mesh = device_mesh(
            None if mesh is None else list(mesh.devices.flat), execution.sharded_over
        )
    check_divisible(config.data.batch_size, execution.micro_batches, mesh)
    compute = execution.compute or default_compute(training=True)
    if compute.attention is None:  # a plan has chosen it, and its mesh has no devices to look at
        compute = suit(compute, mesh.devices.flat[0])
    objective = make_objective(config, compute)
    variables = objective.abstract_variables()
    frozen = objective.find_frozen(variables["params"])
    optimiser = make_optimiser(config.optimiser, config.steps, objective.depth)
    create = partial(create_state, optimiser=optimiser, frozen=frozen, seed=config.seed)
    abstract_state = jax.eval_shape(create, variables)
    specs = state_specs(abstract_state, mesh, execution.parameters == "sharded")
    return Preparation(
        mesh=mesh,
        objective=objective,
        optimiser=optimiser,
        schedule=make_schedule(config.optimiser, config.steps),
        frozen=frozen,
        abstract_state=abstract_state,
        specs=specs,
        train_step=make_train_step(
            objective.compute_gradients,
            objective.make_model,
            optimiser,
            frozen,
            execution.micro_batches,
            mesh,
            specs,
            compute.jax_dtype,
        ),
    )


def make_objective(config: RunSettings, compute: Compute) -> Objective:
    """The objective that a configuration is of.

    Args:
        config: Configuration of the run.
        compute: How the model is computed.

    Raises:
        InputError: The configuration is of no objective.
    """
    match config:
        case TrainConfig():
            return Segmentation(config, compute)
        case PretrainConfig():
            return MaskedPainting(config, compute)
        case DetectionConfig():
            return Detection(config, compute)
        case PhraseConfig():
            return Matching(config, compute)
    raise InputError(
        "a run is a TrainConfig, a PretrainConfig, a DetectionConfig or a PhraseConfig, not "
        f"{type(config).__name__}"
    )


def state_specs(state: TrainState, mesh: Mesh, sharded: bool) -> TrainState:
    """Where the leaves of a state lie; `sharded` divides parameters and the optimiser's state among devices."""
    return parameter_specs(state, mesh, sharded=False)._replace(
        params=parameter_specs(state.params, mesh, sharded=sharded),
        opt_state=parameter_specs(state.opt_state, mesh, sharded=sharded),
    )


def first_state(
    config: RunSettings, preparation: Preparation, say: Callable[[str], None] = print_line
) -> TrainState:
    """The state before the first step, on the devices.

    Args:
        config: Configuration of the run.
        preparation: What stays the same from step to step.
        say: Prints a line that says what was taken from the file of weights, where it holds a part of the model.
    """
    optimiser, frozen = preparation.optimiser, preparation.frozen
    create = partial(create_state, optimiser=optimiser, frozen=frozen, seed=config.seed)
    shardings = jax.tree.map(lambda spec: NamedSharding(preparation.mesh, spec), preparation.specs)
    weights = preparation.objective.first_weights(config.seed, say)
    return jax.jit(create, out_shardings=shardings)(weights)
