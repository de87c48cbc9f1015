"""Functions of arrays go through jit, vmap and grad, with NumPy's arrays and JAX's, closed over or passed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax import losses
from sam_jax.data.framing import normalise
from sam_jax.ops.activations import gelu
from sam_jax.ops.cross_attention import tokens_to_image
from sam_jax.ops.normalisation import layer_norm
from sam_jax.ops.resize import plan_mask_resize, resize_masks
from sam_jax.ops.windows import merge_windows, partition_windows

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype(np.float32)


LOGITS, CLASSES = draw(4, 6), draw(4, 6, 3)
TRUTH = RNG.random((4, 6)) < 0.5
LABELS = RNG.integers(0, 3, (4, 6))
POINTS = RNG.random((5, 2)).astype(np.float32)
KERNEL = draw(8, 2, 4)
BOXES = np.array([[1, 2, 30, 20], [5, 3, 17, 31], [20, 9, 47, 26]], np.float32)
HEAT = np.where(TRUTH, 1, RNG.random((4, 6))).astype(np.float32)


class Case(NamedTuple):
    """A function with arguments.

    Attributes:
        function: The function, of arrays only.
        arguments: One array for each argument.
        slopes: Numbers of the arguments that it has a gradient in.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    slopes: tuple[int, ...] = (0,)


def sample(logits):
    return losses.sample_uncertain_points(jax.random.key(0), logits, 4)


CASES = {
    "bce": Case(losses.bce, (LOGITS, TRUTH)),
    "balanced_bce": Case(losses.balanced_bce, (LOGITS, TRUTH)),
    "sigmoid_pairs": Case(losses.sigmoid_pairs, (LOGITS, TRUTH)),
    "sigmoid_focal": Case(losses.sigmoid_focal, (LOGITS, TRUTH)),
    "hard_iou": Case(losses.hard_iou, (LOGITS, TRUTH), ()),
    "iou_squared_error": Case(losses.iou_squared_error, (np.array(0.4, np.float32), LOGITS, TRUTH)),
    "softmax_cross_entropy": Case(losses.softmax_cross_entropy, (CLASSES, LABELS)),
    "multiclass_focal": Case(losses.multiclass_focal, (CLASSES, LABELS)),
    "soft_dice": Case(losses.soft_dice, (LOGITS, TRUTH)),
    "soft_iou": Case(losses.soft_iou, (LOGITS, TRUTH)),
    "macro_dice": Case(losses.macro_dice, (CLASSES, LABELS)),
    "micro_dice": Case(losses.micro_dice, (CLASSES, LABELS)),
    "normalise_patches": Case(losses.normalise_patches, (LOGITS,), ()),
    "patch_squared_error": Case(losses.patch_squared_error, (LOGITS, draw(4, 6)), (0, 1)),
    "centre_focal": Case(losses.centre_focal, (LOGITS, HEAT)),
    "giou_loss": Case(losses.giou_loss, (BOXES, BOXES[::-1].copy()), (0, 1)),
    "box_around": Case(losses.box_around, (TRUTH,), ()),
    "centre_targets": Case(
        functools.partial(losses.centre_targets, size=(4, 6), cell=8), (BOXES, np.array([True, False, True])), ()
    ),
    "sample_bilinear": Case(losses.sample_bilinear, (LOGITS, POINTS), (0, 1)),
    "sample_uncertain_points": Case(sample, (LOGITS,), ()),
    "point_losses": Case(losses.point_losses, (LOGITS, TRUTH, POINTS)),
    "sam_mask_loss": Case(losses.sam_mask_loss, (draw(3, 4, 6), TRUTH, draw(3), TRUTH | True), (0, 2)),
    "gelu": Case(gelu, (LOGITS,)),
    "layer_norm": Case(
        functools.partial(layer_norm, epsilon=1e-6), (LOGITS, draw(6), draw(6)), (0, 1, 2)
    ),
    "normalise": Case(
        normalise, (RNG.integers(0, 256, (2, 4, 6, 3), np.uint8), np.array([[4, 6], [3, 5]])), ()
    ),
    "partition_windows": Case(functools.partial(partition_windows, window=2), (draw(1, 3, 5, 2),)),
    "merge_windows": Case(
        lambda x: merge_windows(x, 2, (3, 5)), (draw(1, 6, 4, 2),)
    ),
    "tokens_to_image": Case(
        tokens_to_image, (draw(3, 2, 4), draw(7, 8), draw(7, 8), KERNEL, KERNEL, draw(2, 4)), (0, 1)
    ),
    "resize_masks": Case(
        lambda logits: resize_masks(logits, plan_mask_resize((4, 6), (16, 24), (12, 24), (20, 40))),
        (draw(2, 4, 6),),
    ),
}  # fmt: skip


def near(found, wanted):
    jax.tree.map(
        lambda mine, its: np.testing.assert_allclose(
            np.asarray(mine), np.asarray(its), rtol=2e-5, atol=2e-5
        ),
        found,
        wanted,
    )


def total(result):
    leaves = [leaf for leaf in jax.tree.leaves(result) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return functools.reduce(jnp.add, [leaf.astype(jnp.float32).sum() for leaf in leaves])


def closing_over(case, held):
    """The function of the other arguments, and their numbers."""
    passed = [i for i in range(len(case.arguments)) if i not in held]

    def function(*given):
        every = dict(zip(passed, given, strict=True)) | {i: case.arguments[i] for i in held}
        return case.function(*(every[i] for i in range(len(case.arguments))))

    return function, passed


def test_no_public_loss_is_missing():
    functions = {name for name in losses.__all__ if name[0].islower()}
    assert functions <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_with_arrays_of_numpy_and_jax(name):
    case = CASES[name]
    wanted = case.function(*map(jnp.asarray, case.arguments))
    near(case.function(*case.arguments), wanted)
    near(jax.jit(case.function)(*case.arguments), wanted)


def twice(tree):
    return jax.tree.map(lambda leaf: np.stack([leaf] * 2), tree)


@pytest.mark.parametrize("name", CASES)
def test_mapped_while_numpy_arrays_are_closed_over(name):
    """In one program, which compiles faster than one for each way; what passes here passes without `jit`, too."""
    case = CASES[name]
    others = range(1, len(case.arguments))
    stacks = twice(case.arguments)

    @jax.jit
    def compute(arguments, traced):
        mapped = []
        for held in {(), *((i,) for i in others), tuple(others)}:
            function, passed = closing_over(case, held)
            mapped.append(jax.vmap(function)(*(traced[i] for i in passed)))
        mapped.append(jax.vmap(case.function)(traced[0], *stacks[1:]))
        mapped.append(jax.vmap(case.function)(*stacks))
        return case.function(*arguments), mapped

    wanted, mapped = jax.device_get(compute(case.arguments, stacks))
    for found in mapped:
        near(found, twice(wanted))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.slopes])
def test_gradients_while_numpy_arrays_are_closed_over(name):
    case = CASES[name]

    @jax.jit
    def differentiate(arguments, traced):
        found = []
        for slope in case.slopes:
            others = [i for i in range(len(case.arguments)) if i != slope]
            function, _ = closing_over(case, others)
            plain = jax.grad(lambda *a: total(case.function(*a)), slope)
            mapped = jax.vmap(jax.grad(lambda a, of=function: total(of(a))))
            found.append((plain(*arguments), mapped(traced[slope])))
        return found

    for wanted, mapped in jax.device_get(differentiate(case.arguments, twice(case.arguments))):
        assert np.abs(wanted).max() > 0
        near(mapped, twice(wanted))
