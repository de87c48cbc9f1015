"""What the rules for single operations share: reading values, making nodes, and running programs within programs."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from sam_jax.export.lowering.graph import Graph, element_type
from sam_jax.export.lowering.values import (
    Shape,
    Value,
    is_fixed,
    is_one,
    known,
    product,
    same_shape,
    spread,
)
from sam_jax.types import InputError

LARGE = 1 << 18
GROWTH = 4
"""Bytes, and multiple of what they are made from, up to which constants are computed at once; runtimes compute those
beyond when they load a file."""
REST = -1
"""In a shape that is reshaped to: what is left over."""


class Equation(NamedTuple):
    """One operation of a program, without what goes into it.

    Attributes:
        name: Name of JAX' primitive.
        params: Parameters of the primitive.
        shapes: Shapes of the results.
        dtypes: Types of the results.
    """

    name: str
    params: Mapping[str, Any]
    shapes: Sequence[Shape]
    dtypes: Sequence[np.dtype]

    @property
    def shape(self) -> Shape:
        """Shape of the first result."""
        return self.shapes[0]

    @property
    def dtype(self) -> np.dtype:
        """Type of the first result."""
        return self.dtypes[0]


Rule = Callable[["Context", Equation, Sequence[Value]], Sequence[Value]]
"""Lowers one operation: its results, from what goes in."""


class Pattern(NamedTuple):
    """Operations in a row that one node stands for.

    Attributes:
        length: Number of operations.
        fits: Whether operations of a program, as many, are these; the first takes in what all of them do.
        lower: What the last of them gives, from what the first takes in.
    """

    length: int
    fits: Callable[[Sequence[Any]], bool]
    lower: Callable[["Context", Value], Value]


class Context:
    """A graph in the making, and the rules that operations are lowered by.

    Args:
        graph: Graph that nodes are added to.
        rules: Rule of each primitive by name.
        folding: Names of primitives whose rules take constants, too; others are computed at once where all that goes
            in is constant.
        pattern: Operations that are lowered together.
    """

    def __init__(
        self, graph: Graph, rules: Mapping[str, Rule], folding: set[str], pattern: Pattern
    ) -> None:
        self.graph = graph
        self._pattern = pattern
        self._rules = rules
        self._folding = folding
        self._at: list[Any] = []

    def run(
        self, traced: ClosedJaxpr | Jaxpr, inputs: Sequence[Value], consts: Sequence[Any] = ()
    ) -> list[Value]:
        """Lower a program for what goes in, and return what comes out.

        Raises:
            InputError: An operation has no form in ONNX; the message says which and where it is in the source.
        """
        program: Jaxpr
        if isinstance(traced, ClosedJaxpr):
            program, consts = traced.jaxpr, traced.consts
        else:
            program = traced
        values: dict[Any, Value] = dict(zip(program.constvars, map(known, consts), strict=True))
        values |= dict(zip(program.invars, inputs, strict=True))

        def read(atom: Any) -> Value:
            if isinstance(atom, Literal):
                return known(np.asarray(atom.val, atom.aval.dtype))  # pyright: ignore[reportAttributeAccessIssue]
            return values[atom]

        place = 0
        while place < len(program.eqns):
            window = program.eqns[place : place + self._pattern.length]
            if self._pattern.fits(window) and _is_closed(window, program, place):
                results = [self._pattern.lower(self, read(window[0].invars[0]))]
            else:
                window = window[:1]
                results = self._apply(window[0], [read(atom) for atom in window[0].invars])
            values |= dict(zip(window[-1].outvars, results, strict=True))
            place += len(window)
        return [read(atom) for atom in program.outvars]

    def _apply(self, equation: Any, inputs: list[Value]) -> Sequence[Value]:
        primitive = equation.primitive
        avals = [var.aval for var in equation.outvars]
        shapes = [tuple(aval.shape) for aval in avals]
        if primitive.name not in self._folding and _is_worth_folding(inputs, avals):
            arrays = [jax.numpy.asarray(spread(value)) for value in inputs]
            results = primitive.bind(*arrays, **equation.params)
            return [known(x) for x in (results if primitive.multiple_results else [results])]
        self._at.append(equation)
        types = [np.dtype(aval.dtype) for aval in avals]
        made = Equation(primitive.name, equation.params, shapes, types)
        try:
            if primitive.name not in self._rules:
                raise NotImplementedError("it has no form in ONNX here")
            results = self._rules[primitive.name](self, made, inputs)
        except NotImplementedError as error:
            place = next(filter(None, map(_find_source, reversed(self._at))), "unknown")
            raise InputError(
                f"the operation {primitive.name} cannot be exported to ONNX: {error} (source: {place})"
            ) from error
        self._at.pop()
        return results

    def emit(
        self,
        operator: str,
        inputs: Sequence[str],
        shape: Shape,
        dtype: Any,
        held: Shape | None = None,
        **attributes: Any,
    ) -> Value:
        """A node of one output as a value."""
        name = self.graph.node(operator, *inputs, **attributes)
        return self.value(name, shape, dtype, held)

    def value(self, name: str, shape: Shape, dtype: Any, held: Shape | None = None) -> Value:
        """What has a name in the graph as a value; its free sizes are noted."""
        value = Value(tuple(shape), np.dtype(dtype), tuple(shape if held is None else held))
        for axis, size in enumerate(value.held):
            if not is_fixed([size]):
                self.graph.sizes.setdefault(size, (name, axis))
        return value._replace(name=name)

    def held(self, value: Value) -> str:
        """Name in the graph of what a value holds."""
        return value.name if value.array is None else self.graph.constant(value.array)

    def whole(self, value: Value) -> str:
        """Name in the graph of all of a value, with its repetitions."""
        if value.is_whole:
            return self.held(value)
        return self.graph.node("Expand", self.held(value), self.shape(value.shape))

    def shape(self, sizes: Sequence[Any]) -> str:
        """Name in the graph of a shape as a vector of integers.

        Raises:
            NotImplementedError: No tensor in the graph has a size that is free.
        """
        if is_fixed(sizes):
            return self.graph.constant(sizes, np.int64)
        parts = [
            self.graph.constant([size], np.int64) if is_fixed([size]) else self.size(size)
            for size in sizes
        ]
        return self.graph.node("Concat", *parts, axis=0)

    def size(self, size: Any) -> str:
        """Name in the graph of a vector of one integer, a free size."""
        if size not in self.graph.sizes:
            raise NotImplementedError(f"nothing in the graph has the free size {size}")
        name, axis = self.graph.sizes[size]
        return self.graph.node("Shape", name, start=axis, end=axis + 1)

    def reshape(self, value: Value, shape: Shape) -> Value:
        """A value in another shape."""
        if same_shape(value.shape, shape):
            return value
        if not value.is_whole:
            held = _follow_ones(value, shape)
            if held is None:
                if value.array is not None and is_fixed(value.shape):
                    return known(spread(value).reshape(shape))
                value = self.value(self.whole(value), value.shape, value.dtype)
                return self.reshape(value, shape)
        else:
            held = shape
        if value.array is not None:
            return known(value.array.reshape(held), shape)
        free = [axis for axis, size in enumerate(held) if not is_fixed([size])]
        if len(free) == 1 and product([size for size in held if is_fixed([size])]) != 0:
            target = self.graph.constant(
                [REST if axis in free else size for axis, size in enumerate(held)], np.int64
            )
        else:
            target = self.shape(held)
        return self.emit("Reshape", [value.name, target], shape, value.dtype, held)

    def transpose(self, value: Value, order: Sequence[Any]) -> Value:
        """A value with its axes in another order."""
        order = [int(axis) for axis in order]
        if order == list(range(len(order))):
            return value
        shape = tuple(value.shape[axis] for axis in order)
        held = tuple(value.held[axis] for axis in order)
        if value.array is not None:
            return known(value.array.transpose(order), shape)
        kept = [axis for axis in order if not is_one(value.held[axis])]
        if kept == sorted(kept):  # nothing moves
            return self._relabel(value, shape, held)
        return self.emit("Transpose", [value.name], shape, value.dtype, held, perm=order)

    def _relabel(self, value: Value, shape: Shape, held: Shape) -> Value:
        whole = self.reshape(value._replace(shape=value.held), held)
        return whole._replace(shape=shape)

    def cast(self, value: Value, dtype: Any) -> Value:
        """A value as numbers of another type."""
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        if value.array is not None:
            return known(value.array.astype(dtype), value.shape)
        to = element_type(dtype)
        return self.emit("Cast", [value.name], value.shape, dtype, value.held, to=to)


def _is_closed(window: Sequence[Any], program: Jaxpr, place: int) -> bool:
    """Whether nobody else in a program uses what operations in a row hand on to each other."""
    inner = {var for equation in window[:-1] for var in equation.outvars}
    later = program.eqns[place + len(window) :]
    used = {atom for equation in later for atom in equation.invars if not isinstance(atom, Literal)}
    return not inner & (used | {atom for atom in program.outvars if not isinstance(atom, Literal)})


def _is_worth_folding(inputs: Sequence[Value], results: Sequence[Any]) -> bool:
    """Whether results are constant, and not so much larger than what they are made of that a file would swell."""
    if not all(is_fixed(array.shape) for array in (*inputs, *results)):
        return False
    taken = 0
    for value in inputs:
        if value.array is None:
            return False
        taken += value.array.nbytes
    made = sum(result.size * np.dtype(result.dtype).itemsize for result in results)
    return made <= max(LARGE, GROWTH * taken)


def _follow_ones(value: Value, shape: Shape) -> Shape | None:
    """What is held of a value after a reshape that only adds or removes axes of size 1; None after another one."""
    kept = [
        (size, held) for size, held in zip(value.shape, value.held, strict=True) if not is_one(size)
    ]
    held = []
    for size in shape:
        if is_one(size):
            held.append(1)
        elif kept and bool(kept[0][0] == size):
            held.append(kept.pop(0)[1])
        else:
            return None
    return None if kept else tuple(held)


def _find_source(equation: Any) -> str:
    """File and line of ours that an operation comes from; nothing where JAX has traced it before, for another place."""
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        if not _OF_LIBRARIES.search(frame.file_name):
            return f"{frame.file_name}:{frame.line_num}"
    return ""


_OF_LIBRARIES = re.compile(r"[/\\\\](jax|flax|jaxtyping|beartype)[/\\\\]|^<")
"""Paths of files that only pass operations on."""
