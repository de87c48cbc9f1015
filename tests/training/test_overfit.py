"""The short form of `experiments.overfit`: a small model learns a few masks by heart."""

import pytest

from experiments.overfit import make_batch, overfit
from sam_jax.configs.debug import config


@pytest.mark.slow
def test_a_small_model_learns_a_few_masks_by_heart():
    batch = make_batch(config.model, images=2, masks=2, min_cells=8)
    *_, last = overfit(config.model, batch, steps=300, every=100)
    assert last.trusted > 0.95
