"""The numbers that describe a predicted mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.models.fine.geodesics import FAR
from sam_jax.models.fine.mask_scoring import describe_masks

SIDES = 8, 12
KINDS = 2


@pytest.fixture
def scene():
    """Logits of two masks, the second empty; costs; distances without a background click."""
    rng = np.random.default_rng(0)
    logits = np.full((2, *SIDES), -4.0, np.float32)
    logits[0, 2:6, 5:] = 3.0
    logits[0, 2, 5:9] = 0.5
    logits[0, 6, 5:8] = -0.5
    costs = rng.uniform(0.1, 2, (*SIDES, 2 * KINDS)).astype(np.float32)
    distances = rng.uniform(0, 3, (2, KINDS, *SIDES)).astype(np.float32)
    distances[1] = FAR
    return logits, costs, distances


def describe(scene) -> np.ndarray:
    return np.asarray(jax.jit(describe_masks)(*map(jnp.array, scene)))


def test_they_are_what_loops_count(scene) -> None:
    logits, costs, distances = scene
    mask = logits[0] > 0
    crossed, within = [], []
    for row, column in np.ndindex(*SIDES):
        for down, right, at in ((0, 1, 0), (1, 0, KINDS)):
            if row + down == SIDES[0] or column + right == SIDES[1]:
                continue
            ends = int(mask[row, column]) + int(mask[row + down, column + right])
            cost = costs[row, column, at : at + KINDS]
            if ends == 1:
                crossed.append(cost)
            if ends == 2:
                within.append(cost)
    area = 28
    assert mask.sum() == area
    assert len(crossed) == 7 + 4 + 7  # the frame is no border
    doubt = (4 / (1 + np.exp(0.5)) + 24 / (1 + np.exp(3))) / (area + 1)
    expected = [
        24 / (31 + 1),
        np.log(doubt + 1e-3) / 2,
        np.log((area + 0.1) / 96) / 4,
        np.log((18 + 1) / (np.sqrt(area) + 1)),
        *np.log(np.sum(crossed, axis=0) / (18 + 1) + 1e-3) / 2,
        *np.log(np.sum(within, axis=0) / (len(within) + 1) + 1e-3) / 2,
        *(np.exp(-distances[0])[:, mask].sum(axis=1) / (area + 1)),
        *(0, 0),
    ]
    np.testing.assert_allclose(describe(scene)[0], expected, rtol=1e-4, atol=1e-6)


def test_an_empty_mask_has_finite_ones(scene) -> None:
    empty = describe(scene)[1]
    np.testing.assert_allclose(empty[[0, 1]], [0, np.log(1e-3) / 2], rtol=1e-5)
    assert np.abs(empty).max() < 4


def test_masks_are_described_one_by_one(scene) -> None:
    logits, costs, distances = scene
    reverse = describe((logits[::-1], costs, distances))
    np.testing.assert_allclose(reverse[::-1], describe(scene), rtol=1e-6)
