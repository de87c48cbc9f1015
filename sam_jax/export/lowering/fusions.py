"""Functions for which runtimes have one operator, or a pattern that they know: layer norm, GELU, softmax.

Element by element, each of their steps would be a pass over memory. They are recognised by their programs, so that a
change of the functions can only cost time.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from sam_jax.export.lowering.context import Context, Pattern
from sam_jax.export.lowering.values import Value
from sam_jax.ops.activations import gelu
from sam_jax.ops.normalisation import layer_norm

_STEPS = (
    *("reduce_max", "max", "broadcast_in_dim", "stop_gradient", "sub", "exp"),
    *("reduce_sum", "broadcast_in_dim", "div"),
)
"""Primitives of `jax.nn.softmax`, each of which takes in what the one before gives."""


def fuse(context: Context, program: ClosedJaxpr, inputs: Sequence[Value]) -> Value | None:
    """What a function with a gradient of its own gives, if it is a known one; None otherwise."""
    forms = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in inputs]
    if len(inputs) == 1 and _is_same(program, gelu, forms):
        return _gelu(context, inputs[0])
    epsilon = _find_epsilon(program)
    if len(inputs) == 3 and epsilon is not None:
        norm = partial(layer_norm, epsilon=epsilon)
        if _is_same(program, norm, forms):
            return _layer_norm(context, inputs, epsilon)
    return None


def _is_same(program: ClosedJaxpr, function: Any, forms: Sequence[Any]) -> bool:
    """Whether a program is what a function has inside of its custom gradient."""
    outer = jax.make_jaxpr(function)(*forms)
    inner = [e.params["call_jaxpr"] for e in outer.eqns if e.primitive.name == "custom_vjp_call"]
    return [str(one) for one in inner] == [str(program)]


def _find_epsilon(program: ClosedJaxpr) -> float | None:
    """The number that is added before a root is taken."""
    for first, second in zip(program.eqns, program.eqns[1:], strict=False):
        if first.primitive.name == "add" and second.primitive.name == "rsqrt":
            numbers = [atom.val for atom in first.invars if isinstance(atom, Literal)]
            return float(numbers[0]) if numbers else None
    return None


def _layer_norm(context: Context, inputs: Sequence[Value], epsilon: float) -> Value:
    x, scale, bias = inputs
    names = [context.whole(value) for value in (x, scale, bias)]
    return context.emit("LayerNormalization", names, x.shape, x.dtype, axis=-1, epsilon=epsilon)


def _gelu(context: Context, x: Value) -> Value:
    """By the steps, and in the order, that onnxruntime knows to be one operator of its own."""
    name, graph = context.whole(x), context.graph
    scaled = graph.node("Div", name, graph.constant(math.sqrt(2), x.dtype))
    more = graph.node("Add", graph.node("Erf", scaled), graph.constant(1, x.dtype))
    doubled = graph.node("Mul", name, more)
    return context.emit("Mul", [doubled, graph.constant(0.5, x.dtype)], x.shape, x.dtype)


def _is_softmax(equations: Sequence[Any]) -> bool:
    """Whether equations are a softmax over the last axis, whose first equation takes in what all of it does."""
    if [equation.primitive.name for equation in equations] != list(_STEPS):
        return False
    highest, bounded, wide, stopped, centred, powers, total, wide_total, _ = equations
    [x] = highest.invars
    axes = [(x.aval.ndim - 1,), (x.aval.ndim - 1,)]
    chains = (
        *((bounded, highest, 1), (wide, bounded, 0), (stopped, wide, 0), (centred, stopped, 1)),
        *((powers, centred, 0), (total, powers, 0), (wide_total, total, 0)),
    )
    last = equations[-1]
    return (
        [tuple(one.params["axes"]) for one in (highest, total)] == axes
        and all(taker.invars[place] is giver.outvars[0] for taker, giver, place in chains)
        and centred.invars[0] is x
        and last.invars[0] is powers.outvars[0]
        and last.invars[1] is wide_total.outvars[0]
        and isinstance(bounded.invars[0], Literal)
        and bool(np.isneginf(bounded.invars[0].val))
    )


def _softmax(context: Context, x: Value) -> Value:
    return context.emit("Softmax", [context.whole(x)], x.shape, x.dtype, axis=-1)


SOFTMAX = Pattern(len(_STEPS), _is_softmax, _softmax)
"""Softmax over the last axis."""
