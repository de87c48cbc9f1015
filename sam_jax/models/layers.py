"""Layers that several parts of the model share."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from sam_jax.ops.normalisation import layer_norm
from sam_jax.types import AnyArray

NORM_EPSILON = 1e-6
"""In the image encoder and in every 2-D norm; the two-way transformer has another."""


class LayerNorm(nn.Module):
    """Normalises the last axis, in float32. SAM's 2-D norms are the same, over channels at every place."""

    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        normalised: Array = layer_norm(x.astype(jnp.float32), scale, bias, self.epsilon)
        return normalised.astype(self.dtype)


class TwoLayerMLP(nn.Module):
    """Linear, activation, linear; the width stays."""

    hidden_width: int
    activation: Callable[[Array], Array]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
        hidden = self.activation(nn.Dense(self.hidden_width, name="lin1", dtype=self.dtype)(x))
        return nn.Dense(x.shape[-1], name="lin2", dtype=self.dtype)(hidden)


class TokenMLP(nn.Module):
    """Linear layers with ReLU between them."""

    hidden_width: int
    out_width: int
    depth: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "*shape d"]) -> Float[Array, "*shape out"]:
        for index in range(self.depth - 1):
            x = nn.relu(nn.Dense(self.hidden_width, dtype=self.dtype, name=f"layers_{index}")(x))
        return nn.Dense(self.out_width, dtype=self.dtype, name=f"layers_{self.depth - 1}")(x)


class Projection(nn.Module):
    """The parameters of a linear layer, for those who apply product and bias apart."""

    width_in: int
    width_out: int

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "in out"], Float[Array, " out"]]:
        return (
            self.param("kernel", nn.initializers.lecun_normal(), (self.width_in, self.width_out)),
            self.param("bias", nn.initializers.zeros, (self.width_out,)),
        )


class PatchConv(nn.Module):
    """A convolution whose stride is its size, which is a matrix product over patches."""

    side: int
    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[AnyArray, "b h w c"]) -> Float[Array, "b gh gw d"]:
        b, h, w, c = x.shape
        side, features, dtype = self.side, self.features, self.dtype
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (side, side, c, features))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        patches = jnp.asarray(x, dtype).reshape(b, h // side, side, w // side, side, c)
        patches = patches.swapaxes(2, 3).reshape(b, h // side, w // side, side * side * c)
        product = patches @ kernel.astype(dtype).reshape(-1, features)
        return product + bias.astype(dtype).reshape(1, 1, 1, -1)
