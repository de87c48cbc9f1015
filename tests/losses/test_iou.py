import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.losses import hard_iou, iou_squared_error

SIZE = (5, 8)


def test_worked_number():
    places = np.arange(12).reshape(3, 4)
    logits = jnp.where((places >= 3) & (places < 10), 0.1, -0.1)
    np.testing.assert_allclose(1 - hard_iou(logits, places < 9), 0.4, rtol=1e-6)


def test_zero_is_background():
    assert hard_iou(np.zeros(SIZE, np.float32), np.ones(SIZE, bool)) == 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("logit", "truth", "expected"),
    [(-1e4, False, 1), (1e4, True, 1), (1e4, False, 0), (-1e4, True, 0)],
)
def test_corners(dtype, logit, truth, expected):
    logits, truth = jnp.full(SIZE, logit, dtype), np.full(SIZE, truth)
    assert hard_iou(logits, truth) == expected
    loss, gradient = jax.value_and_grad(iou_squared_error, argnums=(0, 1))(
        jnp.array(0.25, dtype), logits, truth
    )
    assert loss == (0.25 - expected) ** 2
    assert gradient[0] == 2 * (0.25 - expected)
    np.testing.assert_array_equal(gradient[1], 0)


def test_the_mask_is_not_made_worse_to_fit_a_prediction():
    random = np.random.default_rng(0)
    logits, truth = random.standard_normal(SIZE, np.float32), random.random(SIZE) < 0.5
    real = ((logits > 0) & truth).sum() / ((logits > 0) | truth).sum()
    to_prediction, to_logits = jax.grad(iou_squared_error, argnums=(0, 1))(
        jnp.array(1.2), logits, truth
    )
    np.testing.assert_allclose(to_prediction, 2 * (1.2 - real), rtol=1e-5)
    np.testing.assert_array_equal(to_logits, 0)


def test_masks_are_independent_under_vmap_and_jit():
    random = np.random.default_rng(1)
    logits, truth = random.standard_normal((4, *SIZE), np.float32), random.random((4, *SIZE)) < 0.5
    predicted = random.random(4, np.float32)
    together = jax.jit(jax.vmap(iou_squared_error))(predicted, logits, truth)
    mask = logits > 0
    real = (mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2))
    np.testing.assert_allclose(together, (predicted - real) ** 2, rtol=1e-5)
