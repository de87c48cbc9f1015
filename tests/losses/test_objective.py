import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.test_util import check_grads

from sam_jax.losses import (
    DICE_WEIGHT,
    FOCAL_WEIGHT,
    hard_iou,
    iou_squared_error,
    sam_mask_loss,
    sigmoid_focal,
    soft_dice,
)

SIZE = (12, 17)
PHOTO = (9, 17)


def draw(seed, masks=3, scale=3.0):
    """Masks of which one is close to the truth."""
    random = np.random.default_rng(seed)
    truth = np.zeros(SIZE, bool)
    truth[2:8, 3:12] = True
    logits = scale * random.standard_normal((masks, *SIZE), np.float32)
    logits[random.integers(masks)] += np.where(truth, scale, -scale)
    return logits, truth, random.random(masks, np.float32)


def photo_area():
    inside = np.zeros(SIZE, bool)
    inside[: PHOTO[0], : PHOTO[1]] = True
    return inside


def total(logits, truth, predicted_iou, inside=None):
    losses = sam_mask_loss(logits, truth, predicted_iou, inside)
    return losses.mask + losses.iou_error


losses_of = jax.jit(sam_mask_loss)
value_and_gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 2)))


def composed(logits, truth, predicted_iou):
    """The same from the public parts, differentiated by JAX."""
    focal = jax.vmap(lambda z: sigmoid_focal(z, truth).mean())(logits)
    dice = jax.vmap(lambda z: soft_dice(z, truth))(logits)
    iou = jax.vmap(lambda guess, z: iou_squared_error(guess, z, truth))(predicted_iou, logits)
    return (20 * focal + dice).min() + iou.mean()


def torch_total(logits, truth, predicted_iou):
    g = truth.float().expand_as(logits)
    p = logits.sigmoid()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, g, reduction="none")
    p_t = p * g + (1 - p) * (1 - g)
    focal = ((0.25 * g + 0.75 * (1 - g)) * (1 - p_t) ** 2 * entropy).mean((1, 2))
    dice = 1 - (2 * (p * g).sum((1, 2)) + 1) / (p.sum((1, 2)) + g.sum((1, 2)) + 1)
    with torch.no_grad():
        mask = logits > 0
        real = (mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2))
    return (20 * focal + dice).min() + ((predicted_iou - real) ** 2).mean()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("masks", [1, 3])
def test_value_and_gradients_are_torchs(seed, masks):
    logits, truth, predicted = draw(seed, masks)
    theirs = [torch.tensor(x, requires_grad=True) for x in (logits, predicted)]
    reference = torch_total(theirs[0], torch.tensor(truth), theirs[1])
    reference.backward()
    value, gradients = value_and_gradients(logits, truth, predicted)
    np.testing.assert_allclose(value, reference.item(), rtol=1e-5)
    for ours, their in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(ours, their.grad, rtol=1e-4, atol=1e-7)


def test_inside_is_the_same_as_a_cropped_photo():
    logits, truth, predicted = draw(5)
    cropped = (logits[:, : PHOTO[0], : PHOTO[1]], truth[: PHOTO[0], : PHOTO[1]], predicted)
    value, gradients = value_and_gradients(logits, truth, predicted, photo_area())
    expected, expected_gradients = jax.jit(jax.value_and_grad(composed, argnums=(0, 2)))(*cropped)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    to_logits = np.pad(expected_gradients[0], ((0, 0), (0, SIZE[0] - PHOTO[0]), (0, 0)))
    np.testing.assert_allclose(gradients[0], to_logits, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(gradients[1], expected_gradients[1], rtol=1e-5)


def test_padding_takes_no_part_in_anything():
    logits, truth, predicted = draw(6)
    padding = ~photo_area()
    noisy, other_truth = logits.copy(), truth.copy()
    noisy[:, padding] = np.nan
    other_truth[padding] = True
    clean = losses_of(logits, truth, predicted, photo_area())
    same = losses_of(noisy, other_truth, predicted, photo_area())
    jax.tree.map(np.testing.assert_array_equal, same, clean)
    _, (gradient, _) = value_and_gradients(noisy, other_truth, predicted, photo_area())
    np.testing.assert_array_equal(gradient[:, padding], 0)
    assert np.isfinite(gradient).all()


def test_parts():
    logits, truth, predicted = draw(7)
    losses = losses_of(logits, truth, predicted)
    focal = np.array([sigmoid_focal(z, truth).mean() for z in logits])
    dice = np.array([soft_dice(z, truth) for z in logits])
    best = np.argmin(20 * focal + dice)
    assert (FOCAL_WEIGHT, DICE_WEIGHT) == (20, 1)
    assert losses.best == best
    np.testing.assert_allclose(losses.focal, focal[best], rtol=1e-5)
    np.testing.assert_allclose(losses.dice, dice[best], rtol=1e-5)
    np.testing.assert_allclose(losses.mask, 20 * focal[best] + dice[best], rtol=1e-5)
    np.testing.assert_allclose(losses.real_iou, [hard_iou(z, truth) for z in logits], rtol=1e-6)


def test_only_the_lowest_mask_learns_and_every_predicted_iou():
    logits, truth, predicted = draw(8)
    losses = losses_of(logits, truth, predicted)
    _, (to_logits, to_predicted) = value_and_gradients(logits, truth, predicted)
    others = np.arange(3) != losses.best
    np.testing.assert_array_equal(to_logits[others], 0)
    assert (to_logits[losses.best] != 0).all()
    np.testing.assert_allclose(to_predicted, 2 * (predicted - losses.real_iou) / 3, rtol=1e-5)
    only_iou = jax.grad(lambda z: losses_of(z, truth, predicted).iou_error)(logits)
    np.testing.assert_array_equal(only_iou, 0)


def test_lowest_is_by_focal_and_dice_together():
    # The first mask misses a small object: little focal, much dice. The second spills a little, the third with great
    # confidence at one pixel: little dice, much focal.
    truth = np.zeros((40, 50), bool)
    truth[3, 4:10] = True
    spill = np.where(truth, 4, -9).astype(np.float32)
    spill[10, :6] = 4
    nothing = np.full(truth.shape, -9, np.float32)
    sure = np.where(truth, 9, -9).astype(np.float32)
    sure[20, 30] = 90
    focal = [sigmoid_focal(z, truth).mean() for z in (nothing, spill, sure)]
    dice = [soft_dice(z, truth) for z in (nothing, spill, sure)]
    losses = losses_of(np.stack([nothing, spill, sure]), truth, np.zeros(3, np.float32))
    assert np.argmin(focal) == 0
    assert np.argmin(dice) == 2
    assert losses.best == 1


@pytest.mark.parametrize("part", ["focal", "dice"])
def test_gradient_of_each_part_is_its_slope(part):
    logits, truth, predicted = draw(9, scale=1.0)

    def loss(z):
        return getattr(losses_of(z, truth, predicted, photo_area()), part)

    check_grads(loss, (jnp.asarray(logits),), order=1, modes=["rev"], atol=1e-3, rtol=1e-2)


CORNERS = {
    "both empty": (-1e4, False, 0, 1),
    "both full": (1e4, True, 0, 1),
    "empty truth": (1e4, False, 20 * 7500 + 1, 0),
    "empty prediction": (-1e4, True, 20 * 2500 + 1, 0),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("logit", "truth", "mask_loss", "iou"), CORNERS.values(), ids=CORNERS)
def test_corners(dtype, logit, truth, mask_loss, iou):
    logits, truth = jnp.full((3, *SIZE), logit, dtype), np.full(SIZE, truth)
    predicted = jnp.array([0.5, 0.25, 1.0], dtype)
    losses = losses_of(logits, truth, predicted, photo_area())
    np.testing.assert_allclose(losses.mask, mask_loss, rtol=5e-3, atol=1e-6)
    np.testing.assert_array_equal(losses.real_iou, iou)
    _, gradients = value_and_gradients(logits, truth, predicted, photo_area())
    for gradient in gradients:
        assert gradient.dtype == dtype
        assert np.isfinite(np.asarray(gradient, np.float32)).all()
    assert (jnp.abs(gradients[0][losses.best]).max() > 1e-3) == (mask_loss > 0)


def test_mixed_extremes_in_bfloat16():
    random = np.random.default_rng(11)
    logits = jnp.where(random.random((3, *SIZE)) < 0.5, 1e4, -1e4).astype(jnp.bfloat16)
    truth = random.random(SIZE) < 0.5
    value, gradient = jax.value_and_grad(total)(logits, truth, np.zeros(3, np.float32))
    assert value > 1000
    wrong = (np.asarray(logits, np.float32) > 0) != truth
    best = losses_of(logits, truth, np.zeros(3, np.float32)).best
    slopes = np.asarray(gradient, np.float32)
    # The slope of the cross-entropy of a pixel that is certainly wrong is 1, times its class's weight.
    expected = 20 * np.where(truth, -0.25, 0.75) / truth.size * wrong[best]
    np.testing.assert_allclose(slopes[best], expected, rtol=1e-2)


def test_no_pixel_at_all():
    logits, truth, predicted = draw(12)
    nowhere = np.zeros(SIZE, bool)
    value, (gradient, _) = value_and_gradients(logits, truth, predicted, nowhere)
    np.testing.assert_allclose(value, ((predicted - 1) ** 2).mean(), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)


def test_prompts_of_images_are_independent():
    batch = [[draw(20 + 3 * b + n) for n in range(3)] for b in range(2)]
    logits, truth, predicted = (
        np.array([[prompt[i] for prompt in image] for image in batch]) for i in range(3)
    )
    over_batch = jax.vmap(jax.vmap(total, in_axes=(0, 0, 0, None)), in_axes=(0, 0, 0, None))
    step = jax.jit(jax.value_and_grad(lambda *args: over_batch(*args, photo_area()).sum()))
    value, gradient = step(logits, truth, predicted)
    one_by_one = jax.lax.map(
        lambda args: jax.value_and_grad(jax.checkpoint(total))(*args, photo_area()),
        tuple(x.reshape(6, *x.shape[2:]) for x in (logits, truth, predicted)),
    )
    np.testing.assert_allclose(value, one_by_one[0].sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient.reshape(6, 3, *SIZE), one_by_one[1], rtol=1e-4, atol=1e-7)
