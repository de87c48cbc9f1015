import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sam_jax.losses import balanced_bce, bce, sigmoid_focal

SIZE = (7, 11)
LOSSES = {
    "bce": bce,
    "balanced_bce": balanced_bce,
    "focal": sigmoid_focal,
    "focal, gamma 0": lambda z, y: sigmoid_focal(z, y, gamma=0.0),
    "focal, gamma 0.5": lambda z, y: sigmoid_focal(z, y, alpha=None, gamma=0.5),
}


def draw(seed=0, soft=False, shape=SIZE):
    random = np.random.default_rng(seed)
    logits = 4 * random.standard_normal(shape, np.float32)
    truth = random.random(shape, np.float32)
    return logits, truth if soft else truth < 0.3


def gradient(loss, logits, truth):
    return jax.grad(lambda z: loss(z, truth).sum())(jnp.asarray(logits))


def torchvision_focal(logits, truth, alpha, gamma):
    p = torch.sigmoid(logits)
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    p_t = p * truth + (1 - p) * (1 - truth)
    loss = entropy * (1 - p_t) ** gamma
    return loss if alpha is None else (alpha * truth + (1 - alpha) * (1 - truth)) * loss


def logit(p):
    return jnp.log(jnp.asarray([p])) - jnp.log1p(-jnp.asarray([p]))


def test_worked_numbers():
    yes = jnp.array([True])
    np.testing.assert_allclose(bce(logit(0.8), yes), 0.2231, atol=5e-5)
    np.testing.assert_allclose(sigmoid_focal(logit(0.8), yes), 0.002231, atol=5e-7)
    np.testing.assert_allclose(bce(logit(0.1), yes), 2.303, atol=5e-4)
    np.testing.assert_allclose(sigmoid_focal(logit(0.1), yes, alpha=None), 1.865, atol=5e-4)
    for p, weight in [(0.99, 0.0001), (0.1, 0.81)]:
        ratio = sigmoid_focal(logit(p), yes, alpha=None) / bce(logit(p), yes)
        np.testing.assert_allclose(ratio, weight, rtol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 2.0), (0.6, 0.5), (0.25, 0.0)])
def test_focal_is_torchvisions(soft, alpha, gamma):
    logits, truth = draw(1, soft)
    theirs = torch.tensor(logits, requires_grad=True)
    reference = torchvision_focal(theirs, torch.tensor(truth).float(), alpha, gamma)
    reference.sum().backward()

    def ours(z, y):
        return sigmoid_focal(z, y, alpha=alpha, gamma=gamma)

    np.testing.assert_allclose(ours(logits, truth), reference.detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient(ours, logits, truth), theirs.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_optax_agrees(soft):
    logits, truth = draw(2, soft)
    labels = jnp.asarray(truth, jnp.float32)
    np.testing.assert_allclose(
        bce(logits, truth), optax.losses.sigmoid_binary_cross_entropy(logits, labels), rtol=1e-5
    )
    for alpha, gamma in [(0.25, 2.0), (None, 3.5)]:
        theirs = optax.losses.sigmoid_focal_loss(
            jnp.asarray(logits), labels, alpha=alpha, gamma=gamma
        )
        ours = sigmoid_focal(logits, truth, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_gradient_of_bce_is_p_minus_y(soft):
    logits, truth = draw(3, soft)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(gradient(bce, logits, truth), p - truth, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        gradient(bce, np.zeros(2, np.float32), np.eye(2)[0] > 0), [-0.5, 0.5]
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_gradient_of_focal_in_closed_form(gamma):
    logits, truth = draw(4)
    sign, alpha = np.where(truth, 1.0, -1.0), np.where(truth, 0.25, 0.75)
    p_t = 1 / (1 + np.exp(-sign * logits.astype(np.float64)))
    expected = sign * alpha * (1 - p_t) ** gamma * (gamma * p_t * np.log(p_t) - (1 - p_t))
    ours = gradient(lambda z, y: sigmoid_focal(z, y, gamma=gamma), logits, truth)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-7)


def test_balanced_bce_weighs_classes_by_the_others_share():
    logits, truth = draw(5)
    background = 1 - truth.mean()
    weights = np.where(truth, background, 1 - background)
    reference = binary_cross_entropy_with_logits(
        torch.tensor(logits), torch.tensor(truth).float(), torch.tensor(weights), reduction="none"
    )
    np.testing.assert_allclose(balanced_bce(logits, truth), reference, rtol=1e-5, atol=1e-6)
    # Where nothing is known of a pixel, object and background cost the same in all.
    unknown = balanced_bce(np.zeros(SIZE, np.float32), truth)
    np.testing.assert_allclose(unknown[truth].sum(), unknown[~truth].sum(), rtol=1e-5)


@pytest.mark.parametrize("only", [False, True])
def test_balanced_bce_of_one_class_costs_nothing(only):
    logits, truth = draw(6)[0], np.full(SIZE, only)
    np.testing.assert_array_equal(balanced_bce(logits, truth), 0)
    np.testing.assert_array_equal(gradient(balanced_bce, logits, truth), 0)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("truth", ["empty", "full", "mixed"])
def test_extreme_logits(loss, dtype, truth):
    truth = {"empty": np.zeros(4, bool), "full": np.ones(4, bool), "mixed": np.arange(4) > 1}[truth]
    logits = jnp.array([-1e4, 1e4, -1e4, 1e4], dtype)
    losses, slopes = loss(logits, truth), gradient(loss, logits, truth)
    assert losses.dtype == jnp.float32
    assert slopes.dtype == dtype
    right = (np.asarray(logits, np.float32) > 0) == truth
    np.testing.assert_array_equal(losses[right], 0)
    np.testing.assert_array_equal(slopes[right], 0)
    assert np.isfinite(losses).all()
    assert np.isfinite(np.asarray(slopes, np.float32)).all()
    if truth.any() and not truth.all():
        assert (losses[~right] > 1000).all()
        assert (jnp.abs(slopes[~right]) > 0.1).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_masks_are_independent_under_vmap_and_jit(loss):
    logits, truth = draw(7, shape=(3, *SIZE))
    together = jax.jit(jax.vmap(loss))(logits, truth)
    assert together.shape == logits.shape
    for i in range(3):
        np.testing.assert_allclose(together[i], loss(logits[i], truth[i]), rtol=1e-5, atol=1e-7)
