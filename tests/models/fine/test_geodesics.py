"""Distances from the clicks along the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from sam_jax.models.fine.geodesics import (
    COLOUR_WEIGHTS,
    FAR,
    FLAT,
    StepCosts,
    measure_distances,
    mix_distances,
)

SIDES = 20, 28
KINDS = 3


def by_dijkstra(seeds: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    h, w = right.shape
    places = np.arange(h * w).reshape(h, w)
    here = np.concatenate([places[:, :-1].ravel(), places[:-1].ravel()])
    there = np.concatenate([places[:, 1:].ravel(), places[1:].ravel()])
    costs = np.concatenate([right[:, :-1].ravel(), down[:-1].ravel()])
    graph = coo_array((costs, (here, there)), shape=(h * w, h * w)).tocsr()
    rows, columns = seeds.T
    return dijkstra(graph, directed=False, indices=places[rows, columns], min_only=True).reshape(
        h, w
    )


@pytest.fixture(scope="module")
def maze():
    """Costs to the right and downwards, of one kind: a wall from the left and one from the right, cheap between."""
    right = np.full(SIDES, 0.1, np.float32)
    down = np.full(SIDES, 0.1, np.float32)
    down[6, :22] = 50
    down[13, 5:] = 50
    return np.stack([right, down], axis=-1)


CLICKS = np.array(
    [
        [[5, 7, 1], [12, 20, 1], [3, 3, 0], [-1, -1, -1]],
        [[19, 27, 1], [-1, -1, -1], [-1, -1, -1], [-1, -1, -1]],
    ]
)


measure, mix = jax.jit(measure_distances), jax.jit(mix_distances)


def test_they_are_those_of_the_shortest_paths() -> None:
    costs = np.exp(np.random.default_rng(0).normal(size=(*SIDES, 2 * KINDS)) / 2)
    costs = costs.astype(np.float32)
    found = np.asarray(measure(jnp.array(CLICKS), jnp.array(costs)))
    assert found.shape == (2, 2, KINDS, *SIDES)
    for prompt, clicks in enumerate(CLICKS):
        for side, label in enumerate((1, 0)):
            seeds = clicks[clicks[:, 2] == label, :2]
            for kind in range(KINDS):
                of_kind = found[prompt, side, kind]
                if not len(seeds):
                    assert (of_kind == FAR).all()
                    continue
                true = by_dijkstra(seeds, costs[..., kind], costs[..., KINDS + kind])
                assert (of_kind > true - 1e-3).all()
                np.testing.assert_allclose(of_kind.mean(), true.mean(), rtol=5e-3)


def test_they_go_around_walls(maze) -> None:
    found = np.asarray(measure(jnp.array([[[2, 4, 1]]]), jnp.array(maze)))[0, 0, 0]
    np.testing.assert_allclose(
        found, by_dijkstra(np.array([[2, 4]]), maze[..., 0], maze[..., 1]), rtol=1e-4, atol=1e-5
    )
    assert found[7, 4] == pytest.approx(0.1 * (2 * 18 + 5), rel=1e-4)


def test_an_edge_is_as_far_as_its_cost(maze) -> None:
    """Their gradients are those of the one cheapest path."""

    def reach(costs):
        return measure_distances(jnp.array([[[2, 4, 1]]]), costs)[0, 0, 0, 7, 4]

    gradient = np.asarray(jax.jit(jax.grad(reach))(jnp.array(maze)))
    assert gradient.sum() == pytest.approx(2 * 18 + 5)
    assert gradient[6, :22, 1].sum() == 0
    assert gradient[6, 22:, 1].sum() == pytest.approx(1)


@pytest.mark.parametrize("is_clicked", [(True, False), (False, True), (True, True)])
def test_only_what_is_clicked_is_mixed(is_clicked) -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 3, (2, KINDS, 8, 12)).astype(np.float32)
    distances[~np.array(is_clicked)] = FAR
    kernels = [rng.normal(size=(4, 2, KINDS, c)).astype(np.float32) for c in (7, 5)]
    of_tokens, of_quarter = mix(distances, np.array(is_clicked), *kernels)
    shown = [np.log1p(distances) / 3, *(np.exp(-decay * distances) for decay in (1, 4, 16))]
    seen = np.stack(shown) * np.array(is_clicked)[:, None, None, None]
    np.testing.assert_allclose(
        of_quarter, np.einsum("plkhw,plkc->hwc", seen, kernels[1]), rtol=1e-4, atol=1e-5
    )
    pooled = seen.reshape(4, 2, KINDS, 2, 4, 3, 4).mean(axis=(4, 6))
    np.testing.assert_allclose(
        of_tokens, np.einsum("plkhw,plkc->hwc", pooled, kernels[0]), rtol=1e-4, atol=1e-5
    )


def test_costs_that_have_not_learned_are_what_colours_differ_by() -> None:
    module = StepCosts(KINDS, jnp.dtype("float32"))
    pixels = np.zeros((1, 32, 48, 3), np.float32)
    pixels[:, :, 24:] = 0.5
    pixels[:, 16:, :, 1] += 0.2
    features = jax.random.normal(jax.random.key(1), (1, 8, 12, 4))
    shapes = jax.eval_shape(module.init, jax.random.key(0), pixels, features)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    costs = np.asarray(jax.jit(module.apply)(variables, pixels, features))[0]
    assert costs.shape == (8, 12, 2 * KINDS)
    flat = np.log1p(np.exp(FLAT))
    for kind, weight in enumerate(COLOUR_WEIGHTS):
        right, down = costs[..., kind], costs[..., KINDS + kind]
        np.testing.assert_allclose(right[:, 5], np.log1p(np.exp(FLAT + 1.5 * weight)), rtol=1e-5)
        np.testing.assert_allclose(np.delete(right, 5, axis=1), flat, rtol=1e-4)
        np.testing.assert_allclose(down[3], np.log1p(np.exp(FLAT + 0.2 * weight)), rtol=1e-5)
        np.testing.assert_allclose(np.delete(down, 3, axis=0), flat, rtol=1e-4)
