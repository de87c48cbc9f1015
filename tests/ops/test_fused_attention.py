"""Fused attention against attention in strips and in windows, and against float64, by its form for any device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from sam_jax.ops.attention import attend_globally, attend_in_windows
from sam_jax.ops.fused_attention import attend_fused, extended_width, fits

HEADS, D = 3, 8
GRID = 5, 7


def draw(window, grid=GRID):
    random = np.random.default_rng(0)
    side_h, side_w = grid if window is None else (window, window)
    shapes = (2, *grid, 3 * HEADS * D), (3 * HEADS * D,), (2 * side_h - 1, D), (2 * side_w - 1, D)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def plain(qkv, bias, rel_pos_h, rel_pos_w, *, window):
    if window is not None:
        return attend_in_windows(
            qkv, bias, rel_pos_h, rel_pos_w, heads=HEADS, window=window, windows_at_once=2
        )
    b, gh, gw, _ = qkv.shape
    parts = jnp.moveaxis((qkv + bias[None, None, None]).reshape(b, gh, gw, 3, HEADS, D), 3, 0)
    mixed = attend_globally(*parts, rel_pos_h, rel_pos_w, heads_at_once=2, rows_at_once=3)
    return mixed.reshape(b, gh, gw, HEADS * D)


def in_float64(qkv, bias, rel_pos_h, rel_pos_w):
    """The formula, place by place."""
    (b, gh, gw, _), width = qkv.shape, HEADS * D
    q, k, v = np.moveaxis((qkv + bias).reshape(b, gh, gw, 3, HEADS, D), 3, 0)
    scores = np.einsum("brchd,bRChd->bhrcRC", q, k) * D**-0.5
    for r in range(gh):
        for other in range(gh):
            toward = np.einsum("bchd,d->bhc", q[:, r], rel_pos_h[r - other + gh - 1])
            scores[:, :, r, :, other] += toward[..., None]
    for c in range(gw):
        for other in range(gw):
            toward = np.einsum("brhd,d->bhr", q[:, :, c], rel_pos_w[c - other + gw - 1])
            scores[:, :, :, c, :, other] += toward[..., None]
    weights = np.exp(scores - scores.max((4, 5), keepdims=True))
    weights /= weights.sum((4, 5), keepdims=True)
    return np.einsum("bhrcRC,bRChd->brchd", weights, v).reshape(b, gh, gw, width)


@functools.partial(jax.jit, static_argnums=0)
def run(attend, towards, *arguments):
    """Values, and gradients toward `towards`."""
    mixed, back = jax.vjp(attend, *arguments)
    return mixed, back(towards)


def compare(kernel, window, grid):
    arguments = draw(window, grid)
    towards = np.random.default_rng(1).standard_normal((2, *grid, HEADS * D)).astype(np.float32)
    fused = functools.partial(attend_fused, heads=HEADS, window=window, kernel=kernel)
    mixed, gradients = run(fused, towards, *arguments)
    expected, expected_gradients = run(functools.partial(plain, window=window), towards, *arguments)
    np.testing.assert_allclose(mixed, expected, atol=2e-6)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))


@pytest.mark.parametrize("window", [None, 3, 9])
def test_values_and_gradients_equal_the_other_forms(window):
    compare("xla", window, GRID)


def test_splash_attention_in_the_interpreter():
    with pltpu.force_tpu_interpret_mode(), jax.numpy_rank_promotion("allow"):
        compare("splash", None, (8, 32))


def test_values_equal_the_formula_in_float64():
    arguments = draw(None)
    attend = functools.partial(attend_fused, heads=HEADS, window=None, kernel="xla")
    mixed = jax.jit(attend)(*arguments)
    expected = in_float64(*(argument.astype(np.float64) for argument in arguments))
    np.testing.assert_allclose(mixed, expected, atol=2e-6)


def test_bfloat16_is_within_its_rounding():
    arguments = [jnp.asarray(argument, jnp.bfloat16) for argument in draw(3)]
    with jax.numpy_dtype_promotion("standard"):  # What JAX's own form for any device needs.
        attend = functools.partial(attend_fused, heads=HEADS, window=3, kernel="xla")
        mixed = jax.jit(attend)(*arguments)
    assert mixed.dtype == jnp.bfloat16
    rounded = (np.asarray(argument, np.float32) for argument in arguments)
    expected = jax.jit(functools.partial(plain, window=3))(*rounded)
    np.testing.assert_allclose(mixed.astype(np.float32), expected, atol=0.05)


@pytest.mark.parametrize(
    ("kernel", "head_width", "grid", "expected"),
    [
        ("cudnn", 80, (64, 64), 208),
        ("cudnn", 64, (64, 64), 192),
        ("cudnn", 80, (14, 14), 112),
        ("cudnn", 64, (14, 14), 96),
        ("splash", 80, (64, 64), 256),
    ],
)
def test_extended_heads_of_the_official_models(kernel, head_width, grid, expected):
    assert extended_width(kernel, head_width, grid) == expected
    assert fits(kernel, head_width, grid)


def test_what_does_not_fit():
    assert not fits("cudnn", 64, (128, 128))
    assert not fits("splash", 80, (14, 14))
    assert fits("splash", 80, (128, 128))
