"""Lowering a function of arrays into a graph."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from sam_jax.export.lowering import control, elementwise, indexing, products, shapes
from sam_jax.export.lowering.context import Context
from sam_jax.export.lowering.fusions import SOFTMAX
from sam_jax.export.lowering.graph import Graph
from sam_jax.export.lowering.values import Value

RULES = {
    **control.RULES,
    **elementwise.RULES,
    **indexing.RULES,
    **products.RULES,
    **shapes.RULES,
}
FOLDING = control.FOLDING | elementwise.FOLDING | shapes.FOLDING


def make_context(graph: Graph) -> Context:
    """A context with all rules."""
    return Context(graph, RULES, FOLDING, SOFTMAX)


def lower(context: Context, function: Callable[..., Any], inputs: Sequence[Value]) -> list[Value]:
    """Lower a function of arrays.

    What depends on constants alone is computed at once; so are the weights that the function holds.

    Args:
        context: Graph in the making.
        function: Function of as many arrays, which JAX can trace.
        inputs: What goes in; sizes may be free (`jax.export.symbolic_shape`).

    Returns:
        The leaves of what the function returns.

    Raises:
        InputError: An operation has no form in ONNX; the message says which and where it is in the source.
    """
    forms = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in inputs]
    return context.run(jax.make_jaxpr(function)(*forms), inputs)
