"""What training carries from step to step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from sam_jax.training.parameters import pick_trainable
from sam_jax.types import Variables


class TrainState(NamedTuple):
    """Everything that a later step depends on, apart from data.

    Attributes:
        step: Number of steps that are done.
        params: All parameters, in float32.
        constants: Collections of variables that never train.
        opt_state: The optimiser's state, of the parameters that train.
        key: The key that, with `step`, gives all random numbers of a step.
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
        variables: Weights to start from.
        optimiser: The optimiser, from `sam_jax.training.optimiser.make_optimiser`.
        frozen: The tree that marks frozen parameters, from `sam_jax.training.parameters.find_frozen`.
        seed: Seed of all random numbers of the run's steps.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        constants={name: leaves for name, leaves in variables.items() if name != "params"},
        opt_state=optimiser.init(pick_trainable(params, frozen)),
        key=jax.random.key(seed),
    )


def to_variables(state: TrainState) -> Variables:
    """The weights of a state, as `Model` and `sam_jax.checkpoints.save_checkpoint` take them."""
    return {"params": state.params, **state.constants}
