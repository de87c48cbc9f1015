"""Operations on each element: arithmetic, comparisons, choices, types."""

from collections.abc import Sequence

import numpy as np
from jax.lax import RoundingMethod

from sam_jax.export.lowering.context import Context, Equation, Rule
from sam_jax.export.lowering.values import Shape, Value, is_one, known

_SAME_NAME = {
    "abs": "Abs",
    "add": "Add",
    "add_any": "Add",
    "and": "And",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
_OF_BOOLEANS = ("and", "or", "not")
"""Of integers, they work on bits."""


def _held_together(inputs: Sequence[Value]) -> Shape:
    """What is held of the result, from what is held of what goes in."""
    rank = max(len(value.held) for value in inputs)
    shapes = [(1,) * (rank - len(value.held)) + tuple(value.held) for value in inputs]
    return tuple(
        next((size for size in sizes if not is_one(size)), 1) for sizes in zip(*shapes, strict=True)
    )


def combine(
    context: Context, equation: Equation, inputs: Sequence[Value], operator: str
) -> list[Value]:
    """A node of an operator that repeats what goes in by itself."""
    names = [context.held(value) for value in inputs]
    held = _held_together(inputs)
    return [context.emit(operator, names, equation.shape, equation.dtype, held)]


def _by_name(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    if equation.name in _OF_BOOLEANS and inputs[0].dtype != np.bool_:
        raise NotImplementedError("operations on bits have no form in ONNX here")
    return combine(context, equation, inputs, _SAME_NAME[equation.name])


def _ne(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    [equal] = combine(context, equation, inputs, "Equal")
    return combine(context, equation, [equal], "Not")


def _square(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    return combine(context, equation, [inputs[0], inputs[0]], "Mul")


def _integer_pow(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    exponent = known(np.asarray(equation.params["y"], equation.dtype))
    return combine(context, equation, [inputs[0], exponent], "Pow")


def _rsqrt(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    [root] = combine(context, equation, inputs, "Sqrt")
    return combine(context, equation, [root], "Reciprocal")


def _log1p(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    one = known(np.asarray(1, equation.dtype))
    [more] = combine(context, equation, [inputs[0], one], "Add")
    return combine(context, equation, [more], "Log")


def _rem(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    names, held = [context.held(value) for value in inputs], _held_together(inputs)
    # The sign is the dividend's, as in C.
    return [context.emit("Mod", names, equation.shape, equation.dtype, held, fmod=1)]


def _select(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    which, *cases = inputs
    if len(cases) != 2:
        raise NotImplementedError(f"a choice among {len(cases)} arrays")
    which = context.cast(which, np.bool_)
    return combine(context, equation, [which, cases[1], cases[0]], "Where")


def _convert(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    return [context.cast(inputs[0], equation.params["new_dtype"])]


def _round(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    if equation.params["rounding_method"] != RoundingMethod.TO_NEAREST_EVEN:
        raise NotImplementedError("rounding halves away from zero")
    return combine(context, equation, inputs, "Round")


def _clamp(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    least, value, most = inputs
    [raised] = combine(context, equation, [least, value], "Max")
    return combine(context, equation, [raised, most], "Min")


RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME_NAME, _by_name),
    "clamp": _clamp,
    "convert_element_type": _convert,
    "integer_pow": _integer_pow,
    "log1p": _log1p,
    "ne": _ne,
    "rem": _rem,
    "round": _round,
    "rsqrt": _rsqrt,
    "select_n": _select,
    "square": _square,
}
FOLDING = {"convert_element_type"}
