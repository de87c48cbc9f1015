"""Sums of products, and other reductions over axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam_jax.export.lowering.context import Context, Equation, Rule
from sam_jax.export.lowering.values import Shape, Value, product

CHANNELS_FIRST = (0, 3, 1, 2)
CHANNELS_LAST = (0, 2, 3, 1)


def _rest(rank: int, *taken: Sequence[Any]) -> list[int]:
    return [axis for axis in range(rank) if not any(axis in axes for axes in taken)]


def _sizes(value: Value, axes: Sequence[Any]) -> Shape:
    return tuple(value.shape[axis] for axis in axes)


def _dot_general(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    left, right = (
        context.cast(context.value(context.whole(v), v.shape, v.dtype), equation.dtype)
        if v.array is None
        else v
        for v in inputs
    )
    (of_left, of_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    free_left = _rest(len(left.shape), of_left, batch_left)
    free_right = _rest(len(right.shape), of_right, batch_right)
    batch = _sizes(left, batch_left)
    inner = product(_sizes(left, of_left))
    left = context.transpose(left, [*batch_left, *free_left, *of_left])
    right = context.transpose(right, [*batch_right, *of_right, *free_right])
    rows, columns = (
        _sizes(v, axes) for v, axes in ((inputs[0], free_left), (inputs[1], free_right))
    )
    if batch or len(of_left) != 1 or not rows:
        left = context.reshape(left, (*batch, product(rows), inner))
        made = (*batch, product(rows), product(columns))
    else:
        made = (*rows, product(columns))  # without a batch, a product of matrices takes any rows
    right = context.reshape(right, (*batch, inner, product(columns)))
    names = [context.whole(left), context.whole(right)]
    out = context.emit("MatMul", names, made, equation.dtype)
    return [context.reshape(out, equation.shape)]


def _convolution(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    params = equation.params
    image, kernel = inputs
    numbers = params["dimension_numbers"]
    if (
        len(image.shape) != 4
        or params["batch_group_count"] != 1
        or tuple(params["lhs_dilation"]) != (1, 1)
    ):
        raise NotImplementedError("a convolution other than one over images, without holes in them")
    out = context.emit(
        "Conv",
        [
            context.whole(context.transpose(image, numbers.lhs_spec)),
            context.whole(context.transpose(kernel, numbers.rhs_spec)),
        ],
        tuple(equation.shape[axis] for axis in numbers.out_spec),
        equation.dtype,
        strides=list(params["window_strides"]),
        pads=[low for low, _ in params["padding"]] + [high for _, high in params["padding"]],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return [context.transpose(out, list(np.argsort(numbers.out_spec)))]


def reduce(
    context: Context, operator: str, value: Value, axes: Sequence[int], shape: Shape
) -> Value:
    """A reduction over axes, which vanish."""
    names = [context.whole(value), context.graph.constant(axes, np.int64)]
    return context.emit(operator, names, shape, value.dtype, keepdims=0)


def _reduction(operator: str) -> Rule:
    def rule(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
        axes = [int(axis) for axis in equation.params["axes"]]
        if inputs[0].dtype != np.bool_:
            return [reduce(context, operator, inputs[0], axes, equation.shape)]
        numbers = context.cast(inputs[0], np.int32)
        found = reduce(context, operator, numbers, axes, equation.shape)
        return [context.cast(found, np.bool_)]

    return rule


def _argmax(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    [axis] = equation.params["axes"]
    found = context.emit(
        "ArgMax", [context.whole(inputs[0])], equation.shape, np.int64, axis=int(axis), keepdims=0
    )
    return [context.cast(found, equation.dtype)]


RULES: dict[str, Rule] = {
    "argmax": _argmax,
    "conv_general_dilated": _convolution,
    "dot_general": _dot_general,
    "reduce_and": _reduction("ReduceMin"),
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    "reduce_or": _reduction("ReduceMax"),
    "reduce_sum": _reduction("ReduceSum"),
}
