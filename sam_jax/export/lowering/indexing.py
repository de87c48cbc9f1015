"""Reading elements by indices that are computed."""

from collections.abc import Sequence

import numpy as np
from jax.lax import GatherScatterMode

from sam_jax.export.lowering.context import Context, Equation, Rule
from sam_jax.export.lowering.shapes import take_part
from sam_jax.export.lowering.values import Value, is_one, known, spread


def _gather(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    """A part at a fixed place, or whole slices by indices."""
    table, indices = inputs
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes, rank = list(numbers.start_index_map), len(table.shape)
    if (
        indices.array is not None
        and len(indices.shape) == 1
        and numbers.operand_batching_dims == ()
    ):
        starts, ends = [0] * rank, list(sizes)
        for axis, start in zip(axes, spread(indices), strict=True):
            starts[axis], ends[axis] = int(start), int(start) + sizes[axis]
        part = take_part(context, table, starts, ends, [1] * rank, tuple(sizes))
        return [context.reshape(part, equation.shape)]
    kept = [axis for axis in range(rank) if axis not in axes]
    if (
        numbers.operand_batching_dims
        or sorted(axes) != list(numbers.collapsed_slice_dims)
        or any(not bool(sizes[axis] == table.shape[axis]) for axis in kept)
    ):
        raise NotImplementedError("it reads other parts than whole slices")
    if equation.params["mode"] == GatherScatterMode.FILL_OR_DROP:
        raise NotImplementedError("indices outside of the array would give NaN")
    limits = np.array([table.shape[axis] - 1 for axis in axes], indices.dtype)
    if equation.params["mode"] == GatherScatterMode.CLIP:
        lower, upper = known(np.zeros_like(limits)), known(limits)
        for operator, bound in (("Max", lower), ("Min", upper)):
            names = [context.whole(indices), context.held(bound)]
            indices = context.emit(operator, names, indices.shape, indices.dtype)
    table = context.transpose(table, [*axes, *kept])
    batch = indices.shape[:-1]
    shape = (*batch, *(table.shape[len(axes) :]))
    if len(axes) == 1:
        indices = context.reshape(indices, batch)
        names = [context.whole(table), context.whole(indices)]
        found = context.emit("Gather", names, shape, equation.dtype, axis=0)
    else:
        names = [context.whole(table), context.whole(context.cast(indices, np.int64))]
        found = context.emit("GatherND", names, shape, equation.dtype)
    # The axes of the slices stand where the operation wants them, among those of the indices.
    order, of_batch, of_slices = [], iter(range(len(batch))), iter(range(len(batch), len(shape)))
    for axis in range(len(shape)):
        order.append(next(of_slices if axis in numbers.offset_dims else of_batch))
    return [context.transpose(found, order)]


def _dynamic_slice(context: Context, equation: Equation, inputs: Sequence[Value]) -> list[Value]:
    """A part that starts anywhere along one axis, of size 1 there."""
    table, starts = inputs[0], inputs[1:]
    moving = [
        axis
        for axis, size in enumerate(equation.params["slice_sizes"])
        if not bool(size == table.shape[axis])
    ]
    if len(moving) != 1 or not is_one(equation.shape[moving[0]]):
        raise NotImplementedError("a part that is not one slice along one axis")
    [axis] = moving
    index = context.reshape(starts[axis], (1,))
    names = [context.whole(table), context.whole(index)]
    return [context.emit("Gather", names, equation.shape, equation.dtype, axis=axis)]


RULES: dict[str, Rule] = {"dynamic_slice": _dynamic_slice, "gather": _gather}
