"""What training carries from step to step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from sam_jax.models import Compute, Model, SamConfig
from sam_jax.training.parameters import pick_trainable
from sam_jax.types import Variables


class TrainState(NamedTuple):
    """Everything that a later step depends on, apart from data.

    Attributes:
        step: how many are done.
        params: all weights, in float32.
        constants: collections of variables that never train.
        opt_state: of the weights that train.
        key: all random numbers of a step come from this and `step`.
    """

    step: Int[Array, ""]
    params: Any
    constants: Any
    opt_state: Any
    key: Key[Array, ""]


def create_state(
    variables: Variables, optimiser: optax.GradientTransformation, frozen: Any, seed: int
) -> TrainState:
    """The state before the first step.

    Args:
        variables: weights to start from.
        optimiser: whose state is made for what trains.
        frozen: of `sam_jax.training.parameters.find_frozen`.
        seed: of all random numbers.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        constants={name: leaves for name, leaves in variables.items() if name != "params"},
        opt_state=optimiser.init(pick_trainable(params, frozen)),
        key=jax.random.key(seed),
    )


def to_model(state: TrainState, config: SamConfig, compute: Compute) -> Model:
    """The model as it is now."""
    return Model(config, to_variables(state), compute)


def to_variables(state: TrainState) -> Variables:
    """Its weights, as `sam_jax.checkpoints.save_checkpoint` takes them."""
    return {"params": state.params, **state.constants}
