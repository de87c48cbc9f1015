import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax.models.layers import LayerNorm, PatchConv, Projection, TokenMLP, TwoLayerMLP

FLOAT32 = jnp.dtype("float32")


@pytest.fixture
def linear(draw):
    """Draws the weights of a linear layer, and returns them as ours."""

    def make(width_in, width_out):
        return {
            "kernel": draw.standard_normal((width_in, width_out), np.float32),
            "bias": draw.standard_normal(width_out, np.float32),
        }

    return make


def test_norm_is_pytorchs(apply, draw):
    x = 3 + draw.standard_normal((2, 4, 6, 5), np.float32)
    scale, bias = draw.standard_normal((2, 5), np.float32)
    ours = apply(LayerNorm(0.1, FLOAT32), {"scale": scale, "bias": bias}, x)
    theirs = torch.nn.functional.layer_norm(
        torch.tensor(x), (5,), torch.tensor(scale), torch.tensor(bias), eps=0.1
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_norm_is_the_official_one_over_channels(apply, draw):
    x = 3 + draw.standard_normal((2, 4, 6, 5), np.float32)
    scale, bias = draw.standard_normal((2, 5), np.float32)
    official = segment_anything.modeling.common.LayerNorm2d(5, eps=0.1).requires_grad_(False)
    official.weight[:], official.bias[:] = torch.tensor(scale), torch.tensor(bias)
    ours = apply(LayerNorm(0.1, FLOAT32), {"scale": scale, "bias": bias}, x)
    theirs = official(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_bfloat16_is_normalised_in_float32(apply, draw):
    x = jnp.asarray(100 + draw.standard_normal((7, 50)), jnp.bfloat16)
    layer = LayerNorm(1e-6, jnp.dtype("bfloat16"))
    ours = apply(layer, {"scale": np.ones(50, "f"), "bias": np.zeros(50, "f")}, x)
    exact = np.asarray(x, np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-6)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(np.float32), exact, atol=0.02)


def test_two_layers(apply, draw, linear):
    params = {"lin1": linear(5, 7), "lin2": linear(7, 5)}
    x = draw.standard_normal((4, 6, 5), np.float32)
    hidden = np.tanh(x @ params["lin1"]["kernel"] + params["lin1"]["bias"])
    expected = hidden @ params["lin2"]["kernel"] + params["lin2"]["bias"]
    ours = apply(TwoLayerMLP(7, jnp.tanh, FLOAT32), params, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 3])
def test_layers_of_tokens_are_official(apply, draw, linear, depth):
    widths = [5, *[7] * (depth - 1), 4]
    params = {f"layers_{i}": linear(*widths[i : i + 2]) for i in range(depth)}
    official = segment_anything.modeling.mask_decoder.MLP(5, 7, 4, depth).requires_grad_(False)
    for index, layer in enumerate(official.layers):
        layer.weight[:] = torch.tensor(params[f"layers_{index}"]["kernel"].T)
        layer.bias[:] = torch.tensor(params[f"layers_{index}"]["bias"])
    x = draw.standard_normal((3, 5), np.float32)
    ours = apply(TokenMLP(7, 4, depth, FLOAT32), params, x)
    np.testing.assert_allclose(ours, official(torch.tensor(x)), rtol=1e-5, atol=1e-5)


def test_patches_are_convolved_as_by_pytorch(apply, draw):
    x = draw.standard_normal((2, 6, 9, 4), np.float32)
    kernel, bias = draw.standard_normal((3, 3, 4, 5), np.float32), np.arange(5, dtype=np.float32)
    ours = apply(PatchConv(3, 5, FLOAT32), {"kernel": kernel, "bias": bias}, x)
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(kernel).permute(3, 2, 0, 1),
        torch.tensor(bias),
        stride=3,
    )
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_a_projection_is_the_parameters_of_a_linear_layer(draw):
    x = draw.standard_normal((3, 5), np.float32)
    (kernel, bias), variables = Projection(5, 7).init_with_output(jax.random.key(0))
    np.testing.assert_allclose(
        x @ kernel + bias[None], nn.Dense(7).apply(variables, x), rtol=1e-5, atol=1e-5
    )
    assert float(jnp.abs(kernel).min()) > 0
    assert not bias.any()
