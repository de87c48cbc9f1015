import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from sam_jax.losses import multiclass_focal, sigmoid_focal, softmax_cross_entropy

SIZE, CLASSES = (5, 8), 4
LOSSES = {
    "cross-entropy": softmax_cross_entropy,
    "focal": multiclass_focal,
    "focal, gamma 0.5": lambda z, y: multiclass_focal(z, y, gamma=0.5),
}


def draw(seed=0, shape=SIZE):
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((*shape, CLASSES), np.float32)
    return logits, random.integers(0, CLASSES, shape, dtype=np.int32)


def test_worked_numbers():
    logits = jnp.log(jnp.array([[0.8, 0.15, 0.05], [0.8, 0.1, 0.1]]))
    labels = jnp.array([0, 1])
    np.testing.assert_allclose(softmax_cross_entropy(logits, labels), [0.2231, 2.3026], atol=5e-5)
    np.testing.assert_allclose(multiclass_focal(logits, labels), [0.008926, 1.8651], atol=5e-5)


def test_optax_and_torch_agree():
    logits, labels = draw(1)
    one_hot = jax.nn.one_hot(labels, CLASSES)
    ours = softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(ours, optax.losses.softmax_cross_entropy(logits, one_hot), rtol=1e-5)
    reference = torch.nn.functional.cross_entropy(
        torch.tensor(logits).permute(2, 0, 1)[None],
        torch.tensor(labels).long()[None],
        reduction="none",
    )
    np.testing.assert_allclose(ours, reference[0], rtol=1e-5)


def test_gradient_of_cross_entropy_is_p_minus_truth():
    logits, labels = draw(2)
    gradient = jax.grad(lambda z: softmax_cross_entropy(z, labels).sum())(logits)
    expected = jax.nn.softmax(logits) - jax.nn.one_hot(labels, CLASSES)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_focal_against_torch():
    logits, labels = draw(3)
    theirs = torch.tensor(logits, requires_grad=True)
    p_t = theirs.softmax(-1).gather(-1, torch.tensor(labels).long()[..., None])[..., 0]
    reference = -((1 - p_t) ** 2) * p_t.log()
    reference.sum().backward()
    np.testing.assert_allclose(
        multiclass_focal(logits, labels), reference.detach(), rtol=1e-4, atol=1e-6
    )
    gradient = jax.grad(lambda z: multiclass_focal(z, labels).sum())(logits)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-3, atol=1e-6)


def test_gamma_zero_is_cross_entropy():
    logits, labels = draw(4)
    np.testing.assert_allclose(
        multiclass_focal(logits, labels, gamma=0.0), softmax_cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_two_classes_are_sigmoid_focal(gamma):
    z = draw(5)[0][..., 0]
    labels = draw(5)[1] % 2
    two = np.stack([np.zeros_like(z), z], axis=-1)
    np.testing.assert_allclose(
        multiclass_focal(two, labels, gamma=gamma),
        sigmoid_focal(z, labels > 0, alpha=None, gamma=gamma),
        rtol=1e-4,
        atol=1e-7,
    )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits(loss, dtype):
    logits = jnp.array([[1e4, -1e4, -1e4], [-1e4, 1e4, -1e4], [1e4, 1e4, 1e4]], dtype)
    labels = jnp.array([0, 0, 0])
    losses = loss(logits, labels)
    gradient = jax.grad(lambda z: loss(z, labels).sum())(logits)
    assert losses.dtype == jnp.float32
    assert gradient.dtype == dtype
    assert losses[0] == 0
    np.testing.assert_allclose(losses[1], 2e4, rtol=1e-2)
    assert 0 < losses[2] < 1.2
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    np.testing.assert_array_equal(gradient[0], 0)
    np.testing.assert_allclose(np.asarray(gradient[1], np.float32), [-1, 1, 0], atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_maps_are_independent_under_vmap_and_jit(loss):
    logits, labels = draw(6, (3, *SIZE))
    together = jax.jit(jax.vmap(loss))(logits, labels)
    assert together.shape == labels.shape
    for i in range(3):
        np.testing.assert_allclose(together[i], loss(logits[i], labels[i]), rtol=1e-5, atol=1e-7)
