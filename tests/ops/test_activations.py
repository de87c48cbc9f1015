"""GELU and its gradient, against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from sam_jax.ops.activations import gelu

slope_of = jax.jit(jax.vmap(jax.grad(gelu)))

X = np.concatenate([np.linspace(-12, 12, 201), [0.0, -1e30, 1e30]]).astype(np.float32)


def test_value_and_gradient():
    theirs = torch.tensor(X, requires_grad=True)
    expected = torch.nn.functional.gelu(theirs)
    expected[:-2].sum().backward()
    np.testing.assert_allclose(gelu(jnp.asarray(X)), expected.detach(), rtol=1e-6, atol=1e-6)
    slope = slope_of(X)
    np.testing.assert_allclose(slope[:-2], theirs.grad[:-2], atol=1e-6)
    np.testing.assert_array_equal(slope[-2:], [0, 1])


def test_keeps_the_dtype():
    x = jnp.asarray(X[:-2], jnp.bfloat16)
    assert gelu(x).dtype == jnp.bfloat16
    assert slope_of(x).dtype == jnp.bfloat16
    np.testing.assert_allclose(gelu(x).astype(jnp.float32), gelu(x.astype(jnp.float32)), rtol=1e-2)
