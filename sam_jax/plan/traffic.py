"""Bytes that a compiled program moves to and from the chip's memory, counted on its scheduled text.

Each instruction reads its operands and writes its result, once for each turn of the loops that it is in. What XLA keeps
inside the chip (memory space 1 on TPUs) is not counted, and of an array that is only sliced or updated in place, just
the slice. A kernel's custom call counts its operands and results once, though a kernel may read a block again. So these
are estimates, good for comparing programs.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

_WIDTHS = {
    **{"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2},
    **{"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16},
}
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([^{}]*)\})?")
_HEADER = re.compile(r"^(?:ENTRY )?%?([^\s(]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([^\s=]+) = (.*)$")
_OPCODE = re.compile(r"\s([a-z][a-z0-9-]*)\(")
_NAME = re.compile(r"%([^\s,(){}]+)")
_FREE = frozenset(
    [
        *(
            "parameter",
            "constant",
            "tuple",
            "get-tuple-element",
            "bitcast",
            "after-all",
            "partition-id",
        ),
        *("replica-id", "opt-barrier", "add-dependency", "domain"),
    ]
)
_FREE_CALLS = ("AllocateBuffer", "ConcatBitcast", "AssumeGatherIndicesInBound")
_SLICES = ("slice", "dynamic-slice", "gather")


@dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool

    @cached_property
    def bytes(self) -> float:
        return _bytes(self.shape)

    def called(self, role: str) -> str | None:
        found = re.search(rf"\b{role}=%?([^\s,{{}}]+)", self.rest)
        return found[1] if found else None


@dataclass
class _Computation:
    instructions: dict[str, _Instruction] = field(default_factory=dict)
    parameters: dict[int, str] = field(default_factory=dict)
    root: str = ""

    def users(self, name: str) -> list[_Instruction]:
        return [step for step in self.instructions.values() if name in step.operands]

    def behind_bitcasts(self, name: str) -> str:
        """The instruction that a name stands for, if what only looks at it in another shape is left out."""
        while (step := self.instructions[name]).opcode == "bitcast":
            name = step.operands[0]
        return name


class Traffic(NamedTuple):
    """What a program moves.

    Attributes:
        bytes: Bytes read from the chip's memory and written to it.
        open_loops: Number of loops whose turns cannot be told; each is counted as one turn.
    """

    bytes: float
    open_loops: int


def count_traffic(text: str) -> Traffic:
    """Count the bytes that a program moves.

    Args:
        text: The scheduled program, from `compiled.as_text()`.
    """
    return _Program(text).count()


class _Program:
    def __init__(self, text: str) -> None:
        self._computations: dict[str, _Computation] = {}
        self._entry = ""
        self._open_loops = 0
        self._costs: dict[str, float] = {}
        self._read(text)

    def count(self) -> Traffic:
        total = self._cost(self._entry)
        return Traffic(total, self._open_loops)

    def _read(self, text: str) -> None:
        current: _Computation | None = None
        for line in text.splitlines():
            if line.endswith("{") and (header := _HEADER.match(line)):
                current = self._computations[header[1]] = _Computation()
                if line.startswith("ENTRY"):
                    self._entry = header[1]
            elif (
                line.rstrip() == "}"
            ):  # a kernel's metadata go over several lines, which begin with more
                current = None
            elif current is not None and (found := _INSTRUCTION.match(line)):
                _add(current, found)

    def _cost(self, name: str) -> float:
        if name not in self._costs:
            computation = self._computations[name]
            steps = computation.instructions.values()
            self._costs[name] = sum((self._cost_of(step, computation) for step in steps), 0.0)
        return self._costs[name]

    def _cost_of(self, step: _Instruction, within: _Computation) -> float:
        opcode = step.opcode
        if (
            opcode in _FREE
            or opcode.endswith("-done")
            or any(call in step.rest for call in _FREE_CALLS)
        ):
            return 0.0
        match opcode:
            case "while":
                turns = self._turns(step, within)
                return turns * self._cost(step.called("body") or "")
            case "call":
                return self._cost(step.called("to_apply") or "")
            case "conditional":
                return max(self._cost(name) for name in _branches(step))
            case "fusion":
                return self._cost_of_fusion(step, within)
            case "copy-start" | "slice-start":
                return _cost_of_move(step, within)
            case "dynamic-update-slice":
                return 2 * _operand_bytes(within, step.operands[1])
        if opcode in _SLICES:
            return step.bytes + min(step.bytes, _operand_bytes(within, step.operands[0]))
        if opcode.endswith("-start"):  # a collective; its result repeats the operand
            return max(step.bytes, sum(_operand_bytes(within, name) for name in step.operands))
        return step.bytes + sum(_operand_bytes(within, name) for name in step.operands)

    def _cost_of_fusion(self, step: _Instruction, within: _Computation) -> float:
        inner = self._computations[step.called("calls") or ""]
        updated = self._updates(inner, inner.root)
        written = step.bytes if updated is None else updated.written
        kept = () if updated is None else updated.arrays
        total = min(written, step.bytes)
        for index, operand in enumerate(step.operands):
            whole = _operand_bytes(within, operand)
            if whole and index in inner.parameters and inner.parameters[index] not in kept:
                total += min(whole, self._read_of(inner, inner.parameters[index], whole))
        return total

    def _read_of(self, inner: _Computation, name: str, whole: float) -> float:
        """Bytes of a fusion's parameter that are read, where it is only sliced."""
        read = 0.0
        for user in inner.users(name):
            if user.opcode in _SLICES and user.operands[0] == name:
                read += _size(user.shape)
            elif user.opcode == "bitcast":
                read += self._read_of(inner, user.name, whole)
            elif user.opcode == "fusion":
                nested = self._computations[user.called("calls") or ""]
                for index in (i for i, part in enumerate(user.operands) if part == name):
                    parameter = nested.parameters[index]
                    read += self._read_of(nested, parameter, whole)
                    if nested.behind_bitcasts(nested.root) == parameter:
                        read += self._read_of(inner, user.name, whole)
            elif user.opcode == "dynamic-update-slice" and user.operands[0] == name:
                read += _size(inner.instructions[user.operands[1]].shape)
            else:
                return whole
        return read

    def _updates(self, inner: _Computation, name: str) -> "_Update | None":
        """What a fusion writes that updates arrays in place; None if it writes its whole result."""
        step = inner.instructions[name]
        match step.opcode:
            case "bitcast" | "copy":
                return self._updates(inner, step.operands[0])
            case "dynamic-update-slice":
                array = inner.behind_bitcasts(step.operands[0])
                written = _size(inner.instructions[step.operands[1]].shape)
                is_given = inner.instructions[array].opcode == "parameter"
                return _Update(written, (array,) if is_given else ())
            case "tuple":
                parts = [self._updates(inner, part) for part in step.operands]
                if all(part is None for part in parts):
                    return None
                whole = [_size(inner.instructions[part].shape) for part in step.operands]
                return _Update(
                    sum(w if p is None else p.written for w, p in zip(whole, parts, strict=True)),
                    tuple(array for part in parts if part for array in part.arrays),
                )
        return None

    def _turns(self, step: _Instruction, within: _Computation) -> int:
        if found := re.search(r'known_trip_count[^}]*?"n":"?(\d+)', step.rest):
            return int(found[1])
        condition = self._computations[step.called("condition") or ""]
        test = condition.instructions[condition.root]
        limits = [
            int(found[1])
            for name in test.operands
            if (limit := condition.instructions[name]).opcode == "constant"
            and (found := re.search(r"constant\((-?\d+)\)", limit.rest))
        ]
        first = self._first(step, condition, within)
        if test.opcode == "compare" and "direction=LT" in test.rest and len(limits) == 1:
            return max(0, limits[0] - first)
        self._open_loops += 1
        return 1

    def _first(self, step: _Instruction, condition: _Computation, within: _Computation) -> int:
        """The number that a loop's counter starts from: 0 where it cannot be told, as JAX's loops do."""
        test = condition.instructions[condition.root]
        counter = next(
            (
                condition.instructions[name]
                for name in test.operands
                if condition.instructions[name].opcode == "get-tuple-element"
            ),
            None,
        )
        carried = within.instructions.get(step.operands[0]) if step.operands else None
        if counter is None or carried is None or carried.opcode != "tuple":
            return 0
        index = re.search(r"index=(\d+)", counter.rest)
        start = within.instructions.get(carried.operands[int(index[1])]) if index else None
        found = re.search(r"constant\((-?\d+)\)", start.rest) if start else None
        return int(found[1]) if found else 0


class _Update(NamedTuple):
    written: float
    arrays: tuple[str, ...]


def _add(computation: _Computation, found: re.Match[str]) -> None:
    name, text = found[2], found[3]
    opcode = _OPCODE.search(text)
    if opcode is None:
        return
    end = _closing(text, opcode.end() - 1)
    operands = tuple(_NAME.findall(text[opcode.end() : end]))
    step = _Instruction(
        name, text[: opcode.start()], opcode[1], operands, text[opcode.start() :], bool(found[1])
    )
    computation.instructions[name] = step
    if step.is_root:
        computation.root = name
    if step.opcode == "parameter":
        computation.parameters[int(text[opcode.end() : end])] = name


def _closing(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return len(text)


def _branches(step: _Instruction) -> Sequence[str]:
    if found := re.search(r"branch_computations=\{([^}]*)\}", step.rest):
        return _NAME.findall(found[1])
    return [
        name for role in ("true_computation", "false_computation") if (name := step.called(role))
    ]


def _cost_of_move(step: _Instruction, within: _Computation) -> float:
    """A move between memories: its result names where the data go, where they come from, and a flag."""
    if step.opcode == "copy-start":
        return step.bytes - _bytes(step.shape.rpartition(",")[2])
    arrays = list(_ARRAY.finditer(step.shape))
    moved = _size(arrays[-2][0])
    source = moved if _operand_bytes(within, step.operands[0]) else 0.0
    return source + _bytes(arrays[-2][0])


def _operand_bytes(within: _Computation, name: str) -> float:
    step = within.instructions.get(name)
    if step is None or step.opcode == "constant":
        return 0.0
    return step.bytes


def _bytes(shape: str) -> float:
    """Bytes of arrays that lie in the chip's main memory."""
    arrays = _ARRAY.finditer(shape)
    return sum((_size(array[0]) for array in arrays if "S(" not in (array[3] or "")), start=0.0)


def _size(shape: str) -> float:
    total = 0.0
    for array in _ARRAY.finditer(shape):
        width = _WIDTHS.get(array[1], 1 if array[1].startswith("f8") else 0)
        total += width * math.prod(int(side) for side in array[2].split(",") if side)
    return total
