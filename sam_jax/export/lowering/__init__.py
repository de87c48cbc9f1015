"""Lowering of JAX programs to ONNX: each primitive by a rule, constants computed at once."""

from sam_jax.export.lowering.context import Context
from sam_jax.export.lowering.graph import Graph, Tensor
from sam_jax.export.lowering.program import lower, make_context
from sam_jax.export.lowering.values import Value

__all__ = ["Context", "Graph", "Tensor", "Value", "lower", "make_context"]
