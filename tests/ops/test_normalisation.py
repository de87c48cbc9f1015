"""Layer normalisation and its gradient, against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from sam_jax.ops.normalisation import layer_norm


def test_value_and_gradients():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(3, 2, (2, 5, 7)), rng.normal(size=(2, 5, 7))
    scale, bias = rng.normal(1, 0.5, 7), rng.normal(size=7)
    theirs = [torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (x, scale, bias)]
    result = torch.nn.functional.layer_norm(theirs[0], (7,), theirs[1], theirs[2], 1e-6)
    (result * torch.tensor(weights, dtype=torch.float32)).sum().backward()

    def loss(x, scale, bias):
        y = layer_norm(x, scale, bias, 1e-6)
        return (y * weights.astype(np.float32)).sum(), y

    ours = [jnp.asarray(a, jnp.float32) for a in (x, scale, bias)]
    gradients, y = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(*ours)
    np.testing.assert_allclose(y, result.detach(), atol=1e-5)
    for mine, tensor in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(mine, tensor.grad, atol=2e-5)


def test_gradients_add_up_over_a_batch():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4, 6)), jnp.float32)
    scale, bias = jnp.full(6, 1.5), jnp.zeros(6)

    def of_one(x, scale):
        return (layer_norm(x, scale, bias, 1e-6) ** 3).sum()

    def of_each(x, scale):
        return jax.vmap(of_one, in_axes=(0, None))(x, scale).sum()

    together, one_by_one = (jax.jit(jax.grad(f, argnums=1))(x, scale) for f in (of_one, of_each))
    np.testing.assert_allclose(one_by_one, together, rtol=1e-5)


def test_a_constant_vector_becomes_the_bias():
    bias = jnp.array([1.0, -2.0, 0.5])
    y = layer_norm(jnp.full((2, 3), 7.0), jnp.ones(3), bias, 1e-6)
    np.testing.assert_allclose(y, np.tile(bias, (2, 1)), atol=1e-6)
