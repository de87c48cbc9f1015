"""Values while a program is lowered: constants, and what nodes of the graph give."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sam_jax.export.lowering.graph import Dim

Shape = tuple[Dim, ...]


class Value(NamedTuple):
    """An array of the program.

    Attributes:
        shape: Shape of the array.
        dtype: Type of its numbers.
        held: Shape of what is held: 1 along axes where the array repeats one slice, which ONNX' operators do by
            themselves.
        array: What is held, where it is a constant.
        name: Name in the graph of what is held, where it is not.
    """

    shape: Shape
    dtype: np.dtype
    held: Shape
    array: np.ndarray | None = None
    name: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the array is held as it is."""
        return same_shape(self.held, self.shape)


def known(array: Any, shape: Shape | None = None) -> Value:
    """A constant; `shape` is that of the array in which it repeats."""
    array = np.asarray(array)
    return Value(tuple(array.shape if shape is None else shape), array.dtype, array.shape, array)


def spread(value: Value) -> np.ndarray:
    """All of a constant of fixed shape."""
    assert value.array is not None
    return np.broadcast_to(value.array, value.shape)


def is_fixed(shape: Sequence[Dim]) -> bool:
    """Whether no size of a shape is free."""
    return all(isinstance(size, (int, np.integer)) for size in shape)


def same_shape(one: Sequence[Dim], other: Sequence[Dim]) -> bool:
    """Whether two shapes are equal, free sizes included."""
    return len(one) == len(other) and all(bool(a == b) for a, b in zip(one, other, strict=True))


def is_one(size: Dim) -> bool:
    """Whether a size is 1, whatever the free sizes are."""
    return isinstance(size, (int, np.integer)) and size == 1


def product(sizes: Sequence[Dim]) -> Dim:
    """Number of elements along several axes together."""
    return math.prod(sizes)
