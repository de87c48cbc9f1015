"""Fused attention against attention in strips and in windows, and against float64, by its form for any device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.ops.attention import attend_globally, attend_in_windows
from sam_jax.ops.fused_attention import attend_fused, extended_width

HEADS, D = 3, 8
GRID = 5, 7


def draw(window, dtype=np.float32, heads=HEADS, d=D):
    random = np.random.default_rng(0)
    side_h, side_w = GRID if window is None else (window, window)
    shapes = (2, *GRID, 3 * heads * d), (3 * heads * d,), (2 * side_h - 1, d), (2 * side_w - 1, d)
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


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


@pytest.mark.parametrize("window", [None, 3, 4, 9])
def test_values_and_gradients_equal_the_other_forms(window):
    arguments = draw(window)
    towards = np.random.default_rng(1).standard_normal((2, *GRID, HEADS * D)).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def run(attend, *arguments):
        mixed, back = jax.vjp(attend, *arguments)
        return mixed, back(jnp.asarray(towards))

    fused = functools.partial(attend_fused, heads=HEADS, window=window, implementation="xla")
    mixed, gradients = run(fused, *arguments)
    expected, expected_gradients = run(functools.partial(plain, window=window), *arguments)
    np.testing.assert_allclose(mixed, expected, atol=2e-6)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))


def test_values_equal_the_formula_in_float64():
    arguments = draw(None)
    mixed = attend_fused(
        *map(jnp.asarray, arguments), heads=HEADS, window=None, implementation="xla"
    )
    expected = in_float64(*(argument.astype(np.float64) for argument in arguments))
    np.testing.assert_allclose(mixed, expected, atol=2e-6)


def test_bfloat16_is_within_its_rounding():
    arguments = [jnp.asarray(argument, jnp.bfloat16) for argument in draw(3)]
    with jax.numpy_dtype_promotion("standard"):  # What JAX's own form for any device needs.
        mixed = attend_fused(*arguments, heads=HEADS, window=3, implementation="xla")
    assert mixed.dtype == jnp.bfloat16
    expected = plain(*(argument.astype(jnp.float32) for argument in arguments), window=3)
    np.testing.assert_allclose(mixed.astype(np.float32), expected, atol=0.05)


@pytest.mark.parametrize(
    ("head_width", "grid", "expected"),
    [(80, (64, 64), 208), (64, (64, 64), 192), (80, (14, 14), 112), (64, (14, 14), 96)],
)
def test_extended_heads_of_the_official_models(head_width, grid, expected):
    assert extended_width(head_width, grid) == expected
