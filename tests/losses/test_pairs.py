import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from sam_jax.losses import sigmoid_pairs

FITS = np.array([[True, False, True], [True, True, False]])


def test_by_hand():
    """The logistic function of log 4 is 0.8, that of 0 is 0.5."""
    logits = np.log(np.array([[4.0, 4.0, 1.0], [0.25, 1.0, 0.25]]))
    probabilities = [[0.8, 0.2, 0.5], [0.2, 0.5, 0.8]]  # of what is true
    np.testing.assert_allclose(sigmoid_pairs(logits, FITS), -np.log(probabilities), rtol=1e-6)


def test_against_the_formula_in_torch():
    """The sum over all pairs, divided by the number of images, and its gradients (Zhai et al. 2023, algorithm 1)."""
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal((count, 5)).astype(np.float32) for count in (2, 3))
    x, y = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (x, y))
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, y, np.log(10), -10.0)]
    signs = 2 * torch.tensor(FITS).float() - 1
    scores = theirs[0] @ theirs[1].T * theirs[2].exp() + theirs[3]
    loss = -torch.nn.functional.logsigmoid(signs * scores).sum() / len(x)
    loss.backward()

    def ours(x, y, scale, bias):
        return sigmoid_pairs(jnp.exp(scale) * x @ y.T + bias, FITS).sum() / len(x)

    values = (x, y, np.float32(np.log(10)), np.float32(-10))
    value, gradients = jax.value_and_grad(ours, argnums=(0, 1, 2, 3))(*values)
    assert value == pytest.approx(loss.item(), rel=1e-5)
    for mine, their in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(mine, their.grad, rtol=1e-4, atol=1e-6)


def test_large_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], np.float32)
    loss, slope = jax.value_and_grad(lambda z: sigmoid_pairs(z, FITS).sum())(logits)
    assert np.isfinite(loss)
    assert np.isfinite(slope).all()
