"""How much a program computes, counted on its jaxpr: each loop's body as often as it runs.

XLA's own analysis of costs counts the body of a loop once, whatever the number of its turns.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

_GATHERED = ("all_gather", "all_gather_invariant")
_SUMMED = ("psum", "psum_invariant", "pmax", "pmin")
_SCATTERED = ("reduce_scatter",)
_SENT = ("ppermute", "all_to_all")
_RECOMPUTED = "rematted_computation"
"""What JAX calls the part of a backward pass in which `jax.checkpoint` does something again."""


class Work(NamedTuple):
    """What one device does.

    Attributes:
        flops: Floating-point operations of matrix products and convolutions, two for a multiplication with addition.
        recomputed: The part of `flops` that is done again in the backward pass to save memory.
        touched: Bytes that products, convolutions, kernels and collectives read and write: what has to pass the memory
            even if all else were fused into them.
        received: Bytes that reach the device over the network, by collectives that send nothing twice.
        open_loops: Number of loops whose turns cannot be told; each is counted as one turn.
    """

    flops: float = 0.0
    recomputed: float = 0.0
    touched: float = 0.0
    received: float = 0.0
    open_loops: int = 0

    def plus(self, other: "Work") -> "Work":
        """The work of both."""
        return Work(
            self.flops + other.flops,
            self.recomputed + other.recomputed,
            self.touched + other.touched,
            self.received + other.received,
            self.open_loops + other.open_loops,
        )

    def times(self, number: int | float) -> "Work":
        """The same work done so often; unknown loops do not become more."""
        return Work(
            float(number * self.flops),
            float(number * self.recomputed),
            float(number * self.touched),
            float(number * self.received),
            self.open_loops,
        )


def count_work(program: ClosedJaxpr, devices: int = 1) -> Work:
    """Count what each device does in a program.

    Args:
        program: The program, from `jax.make_jaxpr` or `jax.jit(...).trace(...).jaxpr`.
        devices: Number of devices that divide what the program does outside of `jax.shard_map` among each other.
    """
    return _Counter(devices).count(program.jaxpr)


def count_arguments(program: ClosedJaxpr) -> float:
    """Bytes of the arguments that a program looks at; `jax.jit` leaves the others out.

    Args:
        program: The program, as of `count_work`.
    """
    jaxpr = program.jaxpr
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}
    used |= {id(v) for v in jaxpr.outvars}
    return _bytes([v for v in jaxpr.invars if id(v) in used])


class _Counter:
    """The state of a count.

    Args:
        devices: Number of devices that share what is done outside of `jax.shard_map`.
    """

    def __init__(self, devices: int) -> None:
        self._share = 1 / devices
        self._axes: dict[str, int] = {}

    def count(self, jaxpr: Jaxpr) -> Work:
        """The work of one turn of a jaxpr."""
        work = Work()
        for equation in jaxpr.eqns:
            of_equation = self._count_equation(equation)
            if _RECOMPUTED in str(equation.source_info.name_stack):
                of_equation = of_equation._replace(recomputed=of_equation.flops)
            work = work.plus(of_equation)
        return work

    def _count_equation(self, equation: Any) -> Work:
        name, params = equation.primitive.name, equation.params
        match name:
            case "dot_general":
                return self._product(equation, _dot_flops(equation))
            case "conv_general_dilated":
                return self._product(equation, _convolution_flops(equation))
            case "scan":
                return self.count(params["jaxpr"].jaxpr).times(params["length"])
            case "while":
                return self._count_loop(equation)
            case "cond":
                return _largest([self.count(branch.jaxpr) for branch in params["branches"]])
            case "shard_map":
                return self._count_on_device(equation)
            case "pallas_call":
                return self._count_kernel(equation)
        if name in (*_GATHERED, *_SUMMED, *_SCATTERED, *_SENT):
            return self._count_collective(equation)
        work = Work()
        for inner in _jaxprs_in(params):
            work = work.plus(self.count(inner))
        return work

    def _product(self, equation: Any, flops: float) -> Work:
        return Work(flops=flops, touched=_bytes_of(equation)).times(self._share)

    def _count_loop(self, equation: Any) -> Work:
        turns = _find_turns(equation)
        body = self.count(equation.params["body_jaxpr"].jaxpr)
        if turns is None:
            return body._replace(open_loops=body.open_loops + 1)
        return body.times(turns)

    def _count_on_device(self, equation: Any) -> Work:
        before = self._share, self._axes
        self._share, self._axes = 1.0, {**self._axes, **dict(equation.params["mesh"].shape)}
        work = self.count(_open(equation.params["jaxpr"]))
        self._share, self._axes = before
        return work

    def _count_kernel(self, equation: Any) -> Work:
        """A kernel's products count as often as its grid has points; what it moves within the chip does not."""
        grid = equation.params["grid_mapping"].grid
        turns = math.prod(side for side in grid if isinstance(side, int))
        inside = self.count(_open(equation.params["jaxpr"])).times(turns)
        return Work(
            flops=inside.flops,
            touched=_bytes_of(equation) * self._share,
            open_loops=inside.open_loops,
        )

    def _count_collective(self, equation: Any) -> Work:
        name, params = equation.primitive.name, equation.params
        axes = params.get("axes", params.get("axis_name", ()))
        axes = axes if isinstance(axes, tuple) else (axes,)
        number = params.get("axis_size") or math.prod(self._axes.get(axis, 1) for axis in axes)
        others = (number - 1) / number
        whole = max(_bytes(equation.invars), _bytes(equation.outvars))
        passes = 2 if name in _SUMMED else 1
        received = whole * others * passes if name != "ppermute" else whole
        return Work(touched=_bytes_of(equation) if number > 1 else 0.0, received=received)


def _largest(branches: Sequence[Work]) -> Work:
    return max(branches, key=lambda work: (work.flops, work.touched))


def _jaxprs_in(params: dict[str, Any]) -> list[Jaxpr]:
    found = []
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, (Jaxpr, ClosedJaxpr)):
                found.append(_open(part))
    return found


def _open(jaxpr: Any) -> Jaxpr:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr


def _bytes(variables: Sequence[Any]) -> float:
    arrays = (v.aval for v in variables if hasattr(v.aval, "size"))
    return float(sum(array.size * getattr(array.dtype, "itemsize", 0) for array in arrays))


def _bytes_of(equation: Any) -> float:
    return _bytes(equation.invars) + _bytes(equation.outvars)


def _dot_flops(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)


def _convolution_flops(equation: Any) -> float:
    """Products with the zeros between the elements of a dilated input are none."""
    params = equation.params
    kernel = equation.invars[1].aval.shape
    of_one = math.prod(kernel) / kernel[params["dimension_numbers"].rhs_spec[0]]
    result = equation.outvars[0].aval.size / params["batch_group_count"]
    return 2.0 * result * of_one / math.prod(params["lhs_dilation"])


def _find_turns(equation: Any) -> int | None:
    """Turns of a loop whose counter goes up by one to a number that is known, as `jax.lax.fori_loop` makes it."""
    params = equation.params
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
    if len(condition.jaxpr.eqns) != 1 or condition.jaxpr.eqns[0].primitive.name != "lt":
        return None
    counter, limit = condition.jaxpr.eqns[0].invars
    if counter not in condition.jaxpr.invars[of_condition:]:
        return None
    place = condition.jaxpr.invars.index(counter) - of_condition
    carried = equation.invars[of_condition + of_body :]
    first, last = _known(carried[place]), _known(limit)
    if last is None and limit in condition.jaxpr.invars:
        index = condition.jaxpr.invars.index(limit)
        if index < of_condition:
            last = _known(equation.invars[index])
        elif _is_kept(body, of_body + index - of_condition, index - of_condition):
            last = _known(carried[index - of_condition])
    if first is None or last is None or not _goes_up(body, of_body + place, place):
        return None
    return max(0, last - first)


def _known(variable: Any) -> int | None:
    if isinstance(variable, Literal) and np.ndim(variable.val) == 0:
        return int(variable.val)
    return None


def _is_kept(body: ClosedJaxpr, before: int, after: int) -> bool:
    return body.jaxpr.outvars[after] is body.jaxpr.invars[before]


def _goes_up(body: ClosedJaxpr, before: int, after: int) -> bool:
    counter, result = body.jaxpr.invars[before], body.jaxpr.outvars[after]
    return any(
        equation.primitive.name == "add"
        and equation.outvars[0] is result
        and equation.invars[0] is counter
        and _known(equation.invars[1]) == 1
        for equation in body.jaxpr.eqns
    )
