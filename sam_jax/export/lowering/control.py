"""Programs within programs: calls, choices, loops."""

from collections.abc import Sequence

import jax
import jax.extend.core as jax_core
import numpy as np

from sam_jax.export.lowering.context import Context, Equation, Rule
from sam_jax.export.lowering.fusions import fuse
from sam_jax.export.lowering.graph import Tensor
from sam_jax.export.lowering.values import Value, is_fixed

_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Names of the parameter in which a primitive has its program."""


def _inline(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    program = next(equation.params[name] for name in _BODIES if name in equation.params)
    fused = None if equation.name != "custom_vjp_call" else fuse(context, program, inputs)
    return context.run(program, inputs) if fused is None else [fused]


def _name_sizes(shape: Sequence[object]) -> list[int | str]:
    return [int(size) if is_fixed([size]) else str(size) for size in shape]  # pyright: ignore[reportArgumentType]


def describe(context: Context, value: Value) -> Tensor:
    """A value as an output of the graph in the making, by a name that no other output and no input has."""
    name = context.graph.new_name("result")
    context.graph.name_output(context.whole(value), name)
    return Tensor(name, value.dtype, _name_sizes(value.shape))


def _cond(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    which, *inputs = inputs
    branches = equation.params["branches"]
    if which.array is not None:
        return context.run(branches[int(which.array)], inputs)
    if len(branches) != 2:
        raise NotImplementedError(f"a choice among {len(branches)} programs")
    bodies = []
    for branch in branches:
        with context.graph.scope():
            results = [describe(context, value) for value in context.run(branch, inputs)]
            bodies.append(context.graph.close([], results))
    condition = context.whole(context.cast(which, np.bool_))
    names = context.graph.nodes(
        "If", [condition], len(equation.shapes), else_branch=bodies[0], then_branch=bodies[1]
    )
    results = zip(names, equation.shapes, equation.dtypes, strict=True)
    return [context.value(*result) for result in results]


def _scan(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    params = equation.params
    constants, carries = params["num_consts"], params["num_carry"]
    consts, state, sequences = (
        inputs[:constants],
        inputs[constants : constants + carries],
        inputs[constants + carries :],
    )
    if params["length"] == 1:
        firsts = [context.reshape(value, value.shape[1:]) for value in sequences]
        results = context.run(params["jaxpr"], [*consts, *state, *firsts])
        return [context.reshape(v, s) for v, s in zip(results, equation.shapes, strict=True)]
    if carries == 0:  # no step waits for another: all at once
        step = jax_core.jaxpr_as_fun(params["jaxpr"])
        axes = [None] * constants + [0] * len(sequences)
        forms = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in inputs]
        return context.run(jax.make_jaxpr(jax.vmap(step, in_axes=axes))(*forms), inputs)
    with context.graph.scope():
        insides = [
            Tensor(context.graph.new_name("step"), value.dtype, _name_sizes(shape))
            for value, shape in (
                *((value, value.shape) for value in state),
                *((value, value.shape[1:]) for value in sequences),
            )
        ]
        shapes = [value.shape for value in state] + [value.shape[1:] for value in sequences]
        values = [
            context.value(tensor.name, shape, tensor.dtype)
            for tensor, shape in zip(insides, shapes, strict=True)
        ]
        results = context.run(params["jaxpr"], [*consts, *values])
        body = context.graph.close(insides, [describe(context, value) for value in results])
    direction = int(bool(params["reverse"]))
    names = context.graph.nodes(
        "Scan",
        [context.whole(value) for value in (*state, *sequences)],
        len(equation.shapes),
        body=body,
        num_scan_inputs=len(sequences),
        scan_input_directions=[direction] * len(sequences),
        scan_output_directions=[direction] * (len(equation.shapes) - carries),
    )
    results = zip(names, equation.shapes, equation.dtypes, strict=True)
    return [context.value(*result) for result in results]


CALLS = (
    *("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"),
    *("remat2", "checkpoint"),
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(CALLS, _inline),
    "cond": _cond,
    "scan": _scan,
}
FOLDING = {*CALLS}
