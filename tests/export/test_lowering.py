"""Each operation has the numbers that JAX gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.export.lowering import Graph, Tensor, lower, make_context
from sam_jax.ops.activations import gelu


def scan_backwards(x):
    return jax.lax.scan(lambda c, row: (c + row, c * row), x[0], x, reverse=True)


def choose(x):
    return jax.lax.cond(x.sum() > 0, lambda: x + 1, lambda: jnp.zeros_like(x))


PROGRAMS = {
    "a loop backwards": scan_backwards,
    "a loop forwards": lambda x: jax.lax.scan(lambda c, r: (c + r, c), x[0], x)[1],
    "a loop that carries nothing": lambda x: jax.lax.map(lambda row: row * row.sum(), x),
    "a loop in a choice": lambda x: jax.lax.cond(
        x[0, 0] > 0, lambda: scan_backwards(x)[1], lambda: x
    ),
    "a choice": choose,
    "the other choice": lambda x: choose(-jnp.abs(x)),
    "batched products": lambda x: jnp.einsum("ij,ikj->ik", x, jnp.stack([x, x + 1], axis=1)),
    "a product over two axes": lambda x: jnp.einsum(
        "mhw,lkhw->mlk", x.reshape(2, 3, 4), x.reshape(1, 2, 3, 4)
    ),
    "a product of a vector": lambda x: x @ jnp.arange(4.0),
    "an outer product": lambda x: jnp.einsum("i,j->ij", x[:, 0], x[0]),
    "several indices": lambda x: x[jnp.array([5, 0, 3]), (x[:3, 0] > 0).astype(int)],
    "an index": lambda x: jnp.take(x, jnp.argmax(x[:, 1])[None], axis=0, mode="clip"),
    "a repeated row": lambda x: jnp.broadcast_to(x[:1], x.shape).reshape(3, 8) * 2,
    "a repeated column": lambda x: (jnp.zeros((6, 4)) + x[:, :1]).T,
    "repetitions of a part": lambda x: jnp.broadcast_to(x[:, :1], (6, 4))[1:3, 1:3],
    "padding": lambda x: jnp.pad(x, ((1, 0), (0, 2))),
    "steps": lambda x: x[::2, ::-1],
    "parts": lambda x: jnp.split(x, 3)[1],
    "remainders": lambda x: jnp.stack([x.astype(int) % 3, jnp.floor_divide(x.astype(int), 2)]),
    "booleans": lambda x: ((x > 0) & ~(x > 1) | (x < -1)).any(axis=1),
    "softplus": jax.nn.softplus,
    "softmax": jax.nn.softmax,
    "norm": lambda x: x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6),
    "activations": lambda x: gelu(x) + jax.nn.sigmoid(x) + jax.nn.relu(x),
    "powers": lambda x: x**3 + jnp.sqrt(jnp.abs(x)) + jnp.exp(x) - jnp.tanh(x),
    "tiles": lambda x: jnp.tile(x, (2, 1)),
    "clipped integers": lambda x: jnp.clip(jnp.round(x).astype(jnp.int32), -1, 1),
    "extremes": lambda x: x.max(axis=0) - x.min(axis=0) + x.sum(axis=0),
    "a convolution": lambda x: jax.lax.conv_general_dilated(
        x.reshape(1, 6, 4, 1),
        jnp.arange(18.0).reshape(3, 3, 1, 2),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    "what is constant": lambda x: jnp.cumsum(jnp.arange(4.0))[None] + x,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_equals_jax(name, open_session, draw):
    x = draw.normal(size=(6, 4)).astype(np.float32) * 2
    context = make_context(Graph())
    given = context.value("x", x.shape, np.float32)
    outputs = []
    for index, value in enumerate(lower(context, PROGRAMS[name], [given])):
        context.graph.name_output(context.whole(value), f"y{index}")
        outputs.append(Tensor(f"y{index}", value.dtype, list(value.shape)))
    inputs = [Tensor("x", given.dtype, list(x.shape))]
    model = context.graph.model(inputs, outputs, about={}, weights=np.dtype(np.float32))
    answers = open_session(model).run(None, {"x": x})
    expected = jax.tree.leaves(PROGRAMS[name](jnp.asarray(x)))
    for answer, other in zip(answers, expected, strict=True):
        assert answer.dtype == other.dtype
        np.testing.assert_allclose(answer, other, rtol=2e-6, atol=2e-6)
