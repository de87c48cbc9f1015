"""Operations that move elements: reshapes, repetitions, parts, joins."""

from collections.abc import Sequence

import numpy as np

from sam_jax.export.lowering.context import Context, Equation, Rule
from sam_jax.export.lowering.graph import Dim
from sam_jax.export.lowering.values import Value, is_fixed, is_one, known, same_shape

_END = np.iinfo(np.int64).max
"""Where a part ends that reaches to the end of an axis, however long."""


def _reshape(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    return [context.reshape(inputs[0], equation.shape)]


def _broadcast(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    value, axes = inputs[0], equation.params["broadcast_dimensions"]
    # Axes of size 1 are put in; what repeats along them is left to the operators that take it in.
    held = [1] * len(equation.shape)
    for axis, size in zip(axes, value.held, strict=True):
        held[axis] = size
    plain = context.reshape(value._replace(shape=value.held), tuple(held))
    return [plain._replace(shape=tuple(equation.shape))]


def _transpose(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    return [context.transpose(inputs[0], equation.params["permutation"])]


def _iota(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    axis, size = equation.params["dimension"], equation.shape[equation.params["dimension"]]
    if not is_fixed([size]):
        raise NotImplementedError("counting along an axis of a free size")
    held = [1] * len(equation.shape)
    held[axis] = size
    return [known(np.arange(size, dtype=equation.dtype).reshape(held), equation.shape)]


def _concatenate(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    names = [context.whole(value) for value in inputs]
    axis = int(equation.params["dimension"])
    return [context.emit("Concat", names, equation.shape, equation.dtype, axis=axis)]


def _stack(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    axis = int(equation.params["axis"])
    shape = (*inputs[0].shape[:axis], 1, *inputs[0].shape[axis:])
    return _concatenate(
        context,
        equation._replace(params={"dimension": axis}),
        [context.reshape(value, shape) for value in inputs],
    )


def _pad(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    config = equation.params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        raise NotImplementedError("padding below 0 or between elements")
    pads = [low for low, _, _ in config] + [high for _, high, _ in config]
    names = [
        context.whole(inputs[0]),
        context.graph.constant(pads, np.int64),
        context.held(context.reshape(inputs[1], ())),
    ]
    return [context.emit("Pad", names, equation.shape, equation.dtype)]


def take_part(
    context: Context,
    value: Value,
    starts: Sequence[Dim],
    ends: Sequence[Dim],
    steps: Sequence[Dim],
    shape: Sequence[Dim],
) -> Value:
    """A part of an array with regular steps; along axes where it is all, nothing is done."""
    axes = [
        axis
        for axis, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True))
        if not (is_fixed([start]) and start == 0 and step == 1 and bool(end == value.shape[axis]))
        and not (is_one(value.held[axis]) and not is_one(value.shape[axis]))
    ]
    held = tuple(
        1 if is_one(old) and not is_one(value.shape[axis]) else shape[axis]
        for axis, old in enumerate(value.held)
    )
    if not axes:
        return value._replace(shape=tuple(shape), held=held)
    for axis in axes:
        if not is_fixed([starts[axis]]) or not (
            is_fixed([ends[axis]]) or bool(ends[axis] == value.shape[axis])
        ):
            raise NotImplementedError("a part whose bounds depend on a free size")
    vectors = (
        [starts[axis] for axis in axes],
        [ends[axis] if is_fixed([ends[axis]]) else _END for axis in axes],
        axes,
        [steps[axis] for axis in axes],
    )
    names = [context.held(value), *(context.graph.constant(v, np.int64) for v in vectors)]
    return context.emit("Slice", names, tuple(shape), value.dtype, held)


def _slice(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    params, rank = equation.params, len(equation.shape)
    steps = params["strides"] or (1,) * rank
    starts, ends = params["start_indices"], params["limit_indices"]
    return [take_part(context, inputs[0], starts, ends, steps, equation.shape)]


def _split(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    axis, rank = equation.params["axis"], len(inputs[0].shape)
    parts, start = [], 0
    for size, shape in zip(equation.params["sizes"], equation.shapes, strict=True):
        starts, ends = [0] * rank, list(inputs[0].shape)
        starts[axis], ends[axis] = start, start + size
        parts.append(take_part(context, inputs[0], starts, ends, [1] * rank, shape))
        start += size
    return parts


def _reverse(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    axes = [int(axis) for axis in equation.params["dimensions"]]
    vectors = ([_END] * len(axes), [-_END] * len(axes), axes, [-1] * len(axes))
    names = [
        context.whole(inputs[0]),
        *(context.graph.constant(v, np.int64) for v in vectors),
    ]
    return [context.emit("Slice", names, equation.shape, equation.dtype)]


def _tile(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    reps = context.graph.constant(equation.params["reps"], np.int64)
    names = [context.whole(inputs[0]), reps]
    return [context.emit("Tile", names, equation.shape, equation.dtype)]


def _dimension(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    """A free size as a number."""
    [size] = (equation.params[name] for name in equation.params if name == "dim")
    name = context.graph.node("Squeeze", context.size(size))
    return [context.cast(context.value(name, (), np.int64), equation.dtype)]


def _keep(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    for value, shape in zip(inputs, equation.shapes, strict=True):
        assert same_shape(value.shape, shape)
    return list(inputs)


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "copy": _keep,
    "dim_as_value": _dimension,
    "expand_dims": _reshape,
    "iota": _iota,
    "optimization_barrier": _keep,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _keep,
    "tile": _tile,
    "transpose": _transpose,
}
FOLDING = {
    *(
        "broadcast_in_dim",
        "copy",
        "dim_as_value",
        "expand_dims",
        "iota",
        "optimization_barrier",
        "reshape",
    ),
    *("squeeze", "stop_gradient", "transpose"),
}
