import jax
import numpy as np
import pytest

from sam_jax.models import Model, abstract_variables
from tests.training.conftest import MINIATURE


@pytest.fixture(scope="session")
def miniature():
    """A model with random weights that compiles in a moment; its input is wider than high, its masks have borders."""
    rng = np.random.default_rng(3)
    variables = jax.tree.map(
        lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32),
        abstract_variables(MINIATURE),
    )
    return Model(MINIATURE, jax.device_put(variables))
