import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from sam_jax.losses import macro_dice, micro_dice, soft_dice, soft_iou

SIZE, CLASSES = (6, 9), 4
LOSSES = {"dice": soft_dice, "iou": soft_iou}
CLASS_LOSSES = {"macro": macro_dice, "micro": micro_dice}


def draw(seed=0, shape=SIZE):
    random = np.random.default_rng(seed)
    return 2 * random.standard_normal(shape, np.float32), random.random(shape) < 0.4


def draw_classes(seed=0, shape=SIZE):
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((*shape, CLASSES), np.float32)
    return logits, random.integers(0, CLASSES, shape, dtype=np.int32)


def mask(count, start=0, of=(4, 6)):
    return (
        (np.arange(of[0] * of[1]) >= start) & (np.arange(of[0] * of[1]) < start + count)
    ).reshape(of)


def certain(mask):
    return jnp.where(mask, 100.0, -100.0)


@pytest.mark.parametrize(
    ("prediction", "truth", "dice_loss"),
    [(mask(4), mask(5), 1 - 8 / 9), (mask(8, 3), mask(9), 1 - 12 / 17)],
)
def test_worked_dice(prediction, truth, dice_loss):
    np.testing.assert_allclose(
        soft_dice(certain(prediction), truth, eps=1e-6), dice_loss, atol=1e-6
    )


def test_worked_dice_to_four_digits():
    assert f"{soft_dice(certain(mask(4)), mask(5), eps=1e-6):.4f}" == "0.1111"
    assert f"{soft_dice(certain(mask(8, 3)), mask(9), eps=1e-6):.4f}" == "0.2941"


def test_worked_iou():
    prediction, truth = mask(7, 3), mask(9)
    assert (prediction & truth).sum() == 6
    assert (prediction | truth).sum() == 10
    np.testing.assert_allclose(soft_iou(certain(prediction), truth, eps=1e-6), 0.4, atol=1e-6)


@pytest.mark.parametrize("eps", [1e-3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradient_of_dice_in_closed_form(eps, temperature):
    logits, truth = draw(1)
    p = 1 / (1 + np.exp(-logits.astype(np.float64) / temperature))
    twice, sizes = 2 * (p * truth).sum() + eps, p.sum() + truth.sum() + eps
    in_probability = (twice - 2 * truth * sizes) / sizes**2
    gradient = jax.grad(soft_dice)(logits, truth, eps=eps, temperature=temperature)
    np.testing.assert_allclose(
        gradient, in_probability * p * (1 - p) / temperature, rtol=1e-4, atol=1e-8
    )


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-4])
def test_gradient_with_empty_truth_is_one_over_eps(eps):
    logits, truth = np.full(SIZE, -30, np.float32), np.zeros(SIZE, bool)
    p = jax.nn.sigmoid(logits)
    gradient = jax.grad(soft_dice)(logits, truth, eps=eps)
    np.testing.assert_allclose(gradient / (p * (1 - p)), 1 / eps, rtol=1e-4)


def test_gradient_of_iou_in_closed_form():
    logits, truth = draw(2)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    both = (p * truth).sum() + 1
    either = p.sum() + truth.sum() - both + 2
    in_probability = -(truth * either - both * (1 - truth)) / either**2
    np.testing.assert_allclose(
        jax.grad(soft_iou)(logits, truth), in_probability * p * (1 - p), rtol=1e-4, atol=1e-8
    )


def test_dice_is_a_function_of_iou():
    logits, truth = draw(3)
    iou = 1 - soft_iou(logits, truth, eps=0.5)
    np.testing.assert_allclose(
        1 - soft_dice(logits, truth, eps=1.0), 2 * iou / (1 + iou), rtol=1e-5
    )


def test_torch_and_optax_agree_on_dice():
    logits, truth = draw(4)
    theirs = torch.tensor(logits, requires_grad=True)
    p, g = theirs.sigmoid(), torch.tensor(truth).float()
    reference = 1 - (2 * (p * g).sum() + 1) / (p.sum() + g.sum() + 1)
    reference.backward()
    np.testing.assert_allclose(soft_dice(logits, truth), reference.item(), rtol=1e-5)
    np.testing.assert_allclose(
        jax.grad(soft_dice)(logits, truth), theirs.grad, rtol=1e-4, atol=1e-8
    )
    optaxs = optax.losses.dice_loss(
        logits[None, ..., None], truth[None, ..., None].astype(np.float32), smooth=0.5
    )
    np.testing.assert_allclose(soft_dice(logits, truth, eps=1.0), optaxs[0], rtol=1e-5)


def test_temperature_keeps_the_sigmoid_from_saturating():
    logits, truth = np.full(SIZE, 40, np.float32), mask(20, of=SIZE)
    np.testing.assert_array_equal(jax.grad(soft_dice)(logits, truth), 0)
    warm = jax.grad(soft_dice)(logits, truth, temperature=10.0)
    assert (warm[~truth] > 1e-5).all()
    np.testing.assert_allclose(
        soft_dice(logits, truth, temperature=10.0), soft_dice(logits / 10, truth), rtol=1e-6
    )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_truth_may_be_soft(loss):
    logits, truth = draw(5)
    np.testing.assert_allclose(loss(logits, truth.astype(np.float32)), loss(logits, truth))
    assert loss(logits, truth) < loss(logits, truth * np.float32(0.5))


def test_macro_dice_is_the_mean_over_classes():
    logits, labels = draw_classes(6)
    one_hot = jax.nn.one_hot(labels, CLASSES)
    theirs = optax.losses.dice_loss(jnp.asarray(logits)[None], one_hot[None], smooth=0.5)
    np.testing.assert_allclose(macro_dice(logits, labels, eps=1.0), theirs[0], rtol=1e-5)


def test_micro_dice_pools_pixels():
    logits, labels = draw_classes(7)
    p_true = np.take_along_axis(np.asarray(jax.nn.softmax(logits)), labels[..., None], axis=-1)
    pixels = labels.size
    np.testing.assert_allclose(
        micro_dice(logits, labels, eps=2.0),
        1 - (2 * p_true.sum() + 2) / (2 * pixels + 2),
        rtol=1e-5,
    )


def test_macro_feels_a_small_class_more_than_micro():
    labels = np.zeros(SIZE, np.int32)
    labels[0, 0] = 1
    never = 99 * jax.nn.one_hot(np.zeros(SIZE, np.int32), 2)
    np.testing.assert_allclose(macro_dice(never, labels, eps=1e-6), (1 + 1 / 107) / 2, atol=1e-5)
    np.testing.assert_allclose(micro_dice(never, labels, eps=1e-6), 1 / 54, atol=1e-5)


def test_absent_class_costs_nothing():
    labels = np.arange(np.prod(SIZE)).reshape(SIZE) % 2
    right = 99 * jax.nn.one_hot(labels, 3)
    np.testing.assert_allclose(macro_dice(right, labels, eps=1e-6), 0, atol=1e-6)


CORNERS = {
    "both empty": (-1e4, False, 0),
    "both full": (1e4, True, 0),
    "empty truth": (1e4, False, 1),
    "empty prediction": (-1e4, True, 1),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("logit", "truth", "expected"), CORNERS.values(), ids=CORNERS)
def test_corners(loss, dtype, logit, truth, expected):
    logits, truth = jnp.full(SIZE, logit, dtype), np.full(SIZE, truth)
    value, gradient = jax.value_and_grad(loss)(logits, truth, eps=1e-3)
    np.testing.assert_allclose(value, expected, atol=1e-4)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    assert np.isfinite(np.asarray(gradient, np.float32)).all()


@pytest.mark.parametrize("loss", CLASS_LOSSES.values(), ids=CLASS_LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_logits_of_classes(loss, dtype):
    labels = np.arange(np.prod(SIZE)).reshape(SIZE) % 3
    right = jnp.where(jax.nn.one_hot(labels, CLASSES) > 0, 1e4, -1e4).astype(dtype)
    for logits, expected in [(right, 0), (jnp.roll(right, 1, axis=-1), 1)]:
        value, gradient = jax.value_and_grad(loss)(logits, labels, eps=1e-3)
        np.testing.assert_allclose(value, expected, atol=1e-3)
        assert np.isfinite(np.asarray(gradient, np.float32)).all()


@pytest.mark.parametrize("loss", [*LOSSES.values(), *CLASS_LOSSES.values()])
def test_masks_are_independent_under_vmap_and_jit(loss):
    args = (draw_classes if loss in CLASS_LOSSES.values() else draw)(8, (3, *SIZE))
    together = jax.jit(jax.vmap(loss))(*args)
    assert together.shape == (3,)
    for i in range(3):
        np.testing.assert_allclose(together[i], loss(args[0][i], args[1][i]), rtol=1e-5)
