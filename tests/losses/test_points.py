"""Against PointRend's and Mask2Former's way of doing it in PyTorch, written out here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, grid_sample

from sam_jax.losses import point_losses, sample_bilinear, sample_uncertain_points
from sam_jax.types import InputError

SIZE = (9, 14)
sample = jax.jit(sample_bilinear)
draw_points = jax.jit(
    sample_uncertain_points, static_argnames=("num_points", "oversampling", "importance")
)


def torch_sample(values, points):
    """Values n h w at points n p 2."""
    return grid_sample(values[:, None], 2 * points[:, :, None] - 1, align_corners=False)[:, 0, :, 0]


def torch_losses(logits, truth, points, num_masks):
    with torch.no_grad():
        labels = torch_sample(truth, points)
    z = torch_sample(logits, points)
    bce = binary_cross_entropy_with_logits(z, labels, reduction="none").mean(1).sum() / num_masks
    p = z.sigmoid()
    dice = 1 - (2 * (p * labels).sum(-1) + 1) / (p.sum(-1) + labels.sum(-1) + 1)
    return bce, dice.sum() / num_masks


def draw(seed, masks=3, truth_size=SIZE):
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((masks, *SIZE), np.float32)
    return logits, random.random((masks, *truth_size)) < 0.4


def test_sampling_is_torchs_grid_sample():
    random = np.random.default_rng(0)
    values = random.standard_normal(SIZE, np.float32)
    inside = random.random((200, 2), np.float32)
    beyond = 4 * random.random((200, 2), np.float32) - 1.5
    corners = np.array(
        [[0, 0], [1, 1], [0, 1], [1, 0], [0.5, 0.5], [-50, 0.5], [0.5, 1e6]], np.float32
    )
    points = np.concatenate([inside, beyond, corners])
    weights = random.standard_normal(len(points), np.float32)
    their_values = torch.tensor(values, requires_grad=True)
    their_points = torch.tensor(points, requires_grad=True)
    reference = torch_sample(their_values[None], their_points[None])[0]
    np.testing.assert_allclose(sample(values, points), reference.detach(), atol=2e-6)

    smooth = len(inside) + len(beyond)  # at the other points the slope has two sides
    (reference * torch.tensor(weights))[:smooth].sum().backward()
    to_values, to_points = jax.grad(
        lambda v, p: (sample(v, p) * weights[:smooth]).sum(), argnums=(0, 1)
    )(values, points[:smooth])
    np.testing.assert_allclose(to_values, their_values.grad, atol=1e-5)
    assert their_points.grad is not None
    np.testing.assert_allclose(to_points, their_points.grad[:smooth], atol=2e-4)


def test_sampling_at_pixel_centres_gives_the_pixels():
    h, w = SIZE
    values = jnp.arange(h * w, dtype=jnp.bfloat16).reshape(h, w)
    rows, columns = np.divmod(np.arange(h * w), w)
    points = np.stack([(columns + 0.5) / w, (rows + 0.5) / h], axis=-1).astype(np.float32)
    sampled = sample(values, points)
    assert sampled.dtype == jnp.float32
    np.testing.assert_allclose(sampled, np.arange(h * w), atol=1e-3)


@pytest.mark.parametrize(("oversampling", "importance"), [(3.0, 0.75), (2.5, 1.0), (1.0, 0.0)])
def test_points_are_pointrends(oversampling, importance):
    num_points, logits = 30, draw(1)[0][0]
    key = jax.random.key(7)
    points = draw_points(key, logits, num_points, oversampling=oversampling, importance=importance)
    first, second = jax.random.split(key)
    candidates = torch.tensor(
        np.asarray(jax.random.uniform(first, (int(oversampling * num_points), 2)))
    )
    count = int(importance * num_points)
    uncertainty = -torch_sample(torch.tensor(logits)[None], candidates[None])[0].abs()
    chosen = candidates[torch.topk(uncertainty, count).indices]
    others = np.asarray(jax.random.uniform(second, (num_points - count, 2)))
    assert points.shape == (num_points, 2)
    np.testing.assert_array_equal(points, np.concatenate([chosen, others]))


def test_points_gather_where_the_mask_is_uncertain():
    h, w = 60, 100
    logits = np.broadcast_to(np.linspace(-9, 9, w, dtype=np.float32), (h, w)).copy()
    points = draw_points(jax.random.key(0), logits, 4000)
    certainty = np.abs(np.asarray(sample(logits, points)))
    # A quarter of the candidates lie within |logit| < 2.25; those and the uniform quarter are what is drawn.
    assert certainty[:3000].max() < 2.5
    uniform = np.asarray(points[3000:])
    np.testing.assert_allclose(uniform.mean(0), 0.5, atol=0.03)
    np.testing.assert_allclose(uniform.std(0), 12**-0.5, atol=0.03)


@pytest.mark.parametrize("truth_size", [SIZE, (18, 28)])
def test_losses_are_mask2formers(truth_size):
    logits, truth = draw(2, masks=3, truth_size=truth_size)
    keys = jax.random.split(jax.random.key(3), 3)
    points = jax.vmap(lambda key, z: draw_points(key, z, 50))(keys, logits)
    in_all_devices = 8
    theirs = torch.tensor(logits, requires_grad=True)
    reference = torch_losses(
        theirs, torch.tensor(truth).float(), torch.tensor(np.asarray(points)), in_all_devices
    )
    (5 * reference[0] + 2 * reference[1]).backward()

    @jax.jit
    def loss(z):
        losses = jax.vmap(point_losses)(z, truth, points)
        bce, dice = losses.bce.sum() / in_all_devices, losses.dice.sum() / in_all_devices
        return 5 * bce + 2 * dice, (bce, dice)

    (_, ours), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(logits))
    np.testing.assert_allclose(ours, [part.item() for part in reference], rtol=1e-5)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-4, atol=1e-7)


def test_the_choice_of_points_is_not_differentiated():
    logits, truth = (array[0] for array in draw(4))
    key = jax.random.key(0)
    fixed = draw_points(key, logits, 20)

    def loss(z, points):
        points = draw_points(key, z, 20) if points is None else points
        return sum(point_losses(z, truth, points))

    gradient = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(gradient(logits, None), gradient(logits, fixed), atol=1e-7)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def sampled_losses(logits, truth):
    points = draw_points(jax.random.key(1), logits, 40)
    losses = point_losses(logits, truth, points)
    return losses.bce + losses.dice, losses


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_corners(dtype, truth, logit):
    logits, truth = jnp.full(SIZE, logit, dtype), np.full(SIZE, truth)
    (_, losses), gradient = sampled_losses(logits, truth)
    assert np.isfinite(np.asarray(gradient, np.float32)).all()
    assert np.isfinite(losses).all()
    assert gradient.dtype == dtype
    if (logit > 0) == truth.all():
        # Not 0: towards the border logits and truth fade away.
        assert losses.dice < 0.1
    else:
        assert losses.dice > 0.9
        assert losses.bce > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": 0}, "num_points is at least 1, not 0"),
        ({"num_points": 4, "oversampling": 0.5}, "oversampling is at least 1"),
        ({"num_points": 4, "importance": 1.5}, "importance is a share between 0 and 1"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        sample_uncertain_points(jax.random.key(0), np.zeros(SIZE, np.float32), **arguments)
