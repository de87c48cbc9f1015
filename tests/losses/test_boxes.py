import jax
import jax.numpy as jnp
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam_jax.losses import box_around, centre_focal, centre_targets, giou_loss
from sam_jax.ops.boxes import mask_to_box_xyxy

SIZE = (6, 9)
"""Rows and columns of cells."""


def torchvision_giou_loss(boxes1, boxes2, eps=1e-7):
    """The formula of torchvision's `generalized_box_iou_loss`, written out."""
    x1, y1, x2, y2 = boxes1.unbind(-1)
    x1g, y1g, x2g, y2g = boxes2.unbind(-1)
    wide = torch.min(x2, x2g) - torch.max(x1, x1g)
    high = torch.min(y2, y2g) - torch.max(y1, y1g)
    inner = torch.where((wide > 0) & (high > 0), wide * high, torch.zeros_like(wide))
    union = (x2 - x1) * (y2 - y1) + (x2g - x1g) * (y2g - y1g) - inner
    outer = (torch.max(x2, x2g) - torch.min(x1, x1g)) * (torch.max(y2, y2g) - torch.min(y1, y1g))
    return 1 - (inner / (union + eps) - (outer - union) / (outer + eps))


def draw_boxes(random, n):
    low = random.uniform(0, 60, (n, 2))
    return np.concatenate([low, low + random.uniform(1, 40, (n, 2))], axis=1).astype(np.float32)


def test_giou_loss_and_its_gradient_are_torchvisions():
    random = np.random.default_rng(0)
    ours, true = draw_boxes(random, 200), draw_boxes(random, 200)
    theirs = torch.tensor(ours, requires_grad=True)
    expected = torchvision_giou_loss(theirs, torch.tensor(true))
    expected.sum().backward()
    losses = giou_loss(ours, true)
    gradient = jax.grad(lambda boxes: giou_loss(boxes, true).sum())(jnp.asarray(ours))
    np.testing.assert_allclose(losses, expected.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), atol=1e-6)
    assert np.asarray(losses).min() < 1 < np.asarray(losses).max()


def test_giou_loss_of_a_box_without_area_is_finite():
    point = jnp.full(4, 3.0)
    loss, gradient = jax.value_and_grad(giou_loss)(point, point)
    assert loss == 1
    assert jnp.isfinite(gradient).all()


def centernet_focal(pred, gt):
    """Eq. 1 of Objects as Points, written out as its authors have it."""
    pos, neg = gt.eq(1).double(), gt.lt(1).double()
    at_centre = torch.log(pred) * torch.pow(1 - pred, 2) * pos
    elsewhere = torch.log(1 - pred) * torch.pow(pred, 2) * torch.pow(1 - gt, 4) * neg
    return -(at_centre + elsewhere)


def test_centre_focal_and_its_gradient_are_those_of_the_formula():
    random = np.random.default_rng(1)
    logits, heat = random.normal(0, 2, SIZE), random.uniform(0, 1, SIZE)
    heat[random.random(SIZE) < 0.2] = 1
    z = torch.tensor(logits, requires_grad=True)
    expected = centernet_focal(torch.sigmoid(z), torch.tensor(heat))
    expected.sum().backward()
    ours = jnp.asarray(logits, jnp.float32)
    truth = jnp.asarray(heat, jnp.float32)
    np.testing.assert_allclose(centre_focal(ours, truth), expected.detach(), rtol=2e-5)
    gradient = jax.grad(lambda z: centre_focal(z, truth).sum())(ours)
    np.testing.assert_allclose(gradient, z.grad, rtol=1e-4, atol=1e-6)


def test_centre_focal_is_finite_where_a_sigmoid_is_not_in_float32():
    for logit, heat, expected in ((-200.0, 1.0, 200.0), (200.0, 0.0, 200.0), (200.0, 1.0, 0.0)):
        loss, gradient = jax.value_and_grad(centre_focal)(jnp.float32(logit), jnp.float32(heat))
        assert loss == expected
        assert jnp.isfinite(gradient)


@given(st.integers(0, 2**54 - 1))
def test_box_around_reaches_one_cell_further_than_the_last(bits):
    mask = np.array([bits >> k & 1 for k in range(54)], bool).reshape(SIZE)
    expected = mask_to_box_xyxy(mask) + np.array([0, 0, 1, 1]) * mask.any()
    np.testing.assert_array_equal(box_around(mask), expected)


def test_targets_of_worked_boxes():
    boxes = np.array([[0, 0, 72, 48], [20, 8, 36, 16], [50, 30, 60, 40]], np.float32)
    valid = np.array([True, True, False])
    heat, of_cell, weights = centre_targets(boxes, valid, size=SIZE, cell=8)
    # The large box has its centre at x 36, y 24: column 4, row 3; half its sides by 0.54 are 2 columns and 1 row.
    x, y = np.arange(9) - 4, np.arange(6) - 3
    large = np.exp(-((y / (3 / 6)) ** 2) / 2)[:, None] * np.exp(-((x / (5 / 6)) ** 2) / 2)[None]
    large *= (abs(y) <= 1)[:, None] & (abs(x) <= 2)[None]
    # The small one, at x 28, y 12, has the cell of its centre alone: column 3, row 1.
    expected = large.copy()
    expected[1, 3] = 1
    np.testing.assert_allclose(heat, expected, atol=1e-6)
    assert (heat == 1).sum() == 2
    np.testing.assert_array_equal(of_cell[1, 3], boxes[1])
    np.testing.assert_array_equal(of_cell[3, 4], boxes[0])
    assert weights[1, 3] == 1
    np.testing.assert_allclose(weights[2:5, 2:7].sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(), 2, rtol=1e-6)


def test_the_smaller_of_two_objects_has_the_cells_of_both():
    large, small = [0, 0, 72, 48], [24, 12, 48, 36]
    for boxes in ([large, small], [small, large]):
        heat, of_cell, weights = centre_targets(
            np.array(boxes, np.float32), np.ones(2, bool), size=SIZE, cell=8
        )
        assert heat[3, 4] == 1
        np.testing.assert_array_equal(of_cell[3, 4], small)
        np.testing.assert_array_equal(of_cell[3, 6], large)
        assert weights[3, 4] == 1


def test_targets_under_vmap_and_jit_are_those_of_each_image():
    random = np.random.default_rng(2)
    boxes = np.stack([draw_boxes(random, 5), draw_boxes(random, 5)])
    valid = random.random((2, 5)) < 0.7

    def one(boxes, valid):
        return centre_targets(boxes, valid, size=(8, 13), cell=8)

    together = jax.jit(jax.vmap(one))(boxes, valid)
    for index in range(2):
        alone = one(boxes[index], valid[index])
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours[index], theirs, atol=1e-6)


def test_an_image_without_objects_has_nothing_to_find():
    targets = centre_targets(np.zeros((3, 4), np.float32), np.zeros(3, bool), size=SIZE, cell=8)
    assert not any(np.asarray(part).any() for part in targets)
