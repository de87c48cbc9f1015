"""The pickle inside a PyTorch checkpoint, read and written by hand.

Python's own unpickler calls what the file names. This reader calls nothing: it follows the opcodes, and a name from the
file stays a string, compared with the few that tensors are made of.
"""

import pickle
import pickletools
import struct
from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from sam_jax.types import CheckpointError

STORAGE_DTYPES = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(jnp.bfloat16),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
_CALLABLE = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
}


T = TypeVar("T")


class TensorRecord(NamedTuple):
    """Where a tensor lies: `key` names its storage; offset and strides count elements of `dtype`."""

    key: str
    dtype: np.dtype
    storage_size: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """A global that the pickle names; never looked up."""

    name: str


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE":
                stack.append(True)
            case "NEWFALSE":
                stack.append(False)
            case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4":
                stack.append(argument)
            case "BINFLOAT" | "FLOAT" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "MARK":
                self.marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self.pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.pop(int(opcode[-1]))))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                (item,) = self.pop(1)
                _container(stack[-1], list).append(item)
            case "APPENDS":
                items = self.pop_to_mark()
                _container(stack[-1], list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                _set_items(stack, self.pop(2))
            case "SETITEMS":
                _set_items(stack, self.pop_to_mark())
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GLOBAL":
                stack.append(_allowed(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                module, name = self.pop(2)
                stack.append(_allowed(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(_storage(*self.pop(1)))
            case "REDUCE":
                stack.append(_rebuild(*self.pop(2)))
            case "BUILD":
                # Attributes of a state dict: the versions of its modules, which SAM has none of.
                self.pop(1)
                _container(stack[-1], dict)
            case _:
                raise CheckpointError(f"its pickle uses {opcode}, which no tensor needs")


def _container(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _set_items(stack: list[Any], items: list[Any]) -> None:
    target = _container(stack[-1], dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):  # hashing nested tuples can take for ever
            raise TypeError("a key is neither text nor a number")
        target[key] = value


def _allowed(name: str) -> _Name:
    if name not in _CALLABLE and name not in STORAGE_DTYPES:
        raise CheckpointError(
            f"refused, nothing was run: its pickle names {name[:100]}, which is no part of a file of tensors; "
            "if you trust where it comes from, load it in PyTorch and save the state_dict alone"
        )
    return _Name(name)


def _storage(persistent_id: Any) -> _Storage:
    kind, name, key, _location, size = persistent_id
    if kind != "storage" or not isinstance(name, _Name) or not isinstance(key, str):
        raise TypeError("not a storage")
    return _Storage(key, STORAGE_DTYPES[name.name], _count(size))


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _rebuild(function: Any, arguments: Any) -> Any:
    match function, arguments:
        case _Name("collections.OrderedDict"), ():
            return {}
        case _Name("torch.Size"), (tuple() as shape,):
            return shape
        case _Name("torch._utils._rebuild_parameter"), (TensorRecord() as tensor, bool(), dict()):
            return tensor
        case (
            _Name("torch._utils._rebuild_tensor_v2"),
            (
                _Storage() as storage,
                offset,
                tuple() as shape,
                tuple() as strides,
                bool(),
                dict(),
                *_,
            ),
        ):
            record = TensorRecord(
                *storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides))
            )
            _check_extent(record)
            return record
        case _Name(name), _:
            raise CheckpointError(f"its pickle calls {name} with arguments that no tensor has")
        case _:
            raise TypeError("not a function")


def _check_extent(record: TensorRecord) -> None:
    if len(record.shape) != len(record.strides):
        raise ValueError("as many strides as axes")
    elements = prod(record.shape)
    last = record.offset + sum(
        (side - 1) * stride for side, stride in zip(record.shape, record.strides, strict=True)
    )
    # A stride of 0 could make a small file into an array of any size.
    if elements and (last >= record.storage_size or elements > record.storage_size):
        raise CheckpointError(f"a tensor of shape {record.shape} reaches beyond its storage")


def parse(stream: bytes) -> Any:
    """The value of a pickle: dictionaries, lists, tuples, text, numbers and `TensorRecord`s.

    Raises:
        CheckpointError: The pickle names, calls or contains anything else, or is damaged; the message lacks the file's
            name.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        (value,) = machine.stack
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"its pickle is damaged ({error})") from error
    return value


def serialize(records: Iterable[tuple[str, TensorRecord]]) -> bytes:
    """The pickle of a state dict, as `torch.save` writes it."""
    names = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
    parts = [b"\x80\x02", b"ccollections\nOrderedDict\n)R("]
    for name, record in records:
        module, storage = names[record.dtype].split(".")
        parts += [
            _text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            _text("storage"),
            f"c{module}\n{storage}\n".encode(),
            _text(record.key),
            _text("cpu"),
            _number(record.storage_size),
            b"tQ",
            _number(record.offset),
            _numbers(record.shape),
            _numbers(record.strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    return b"".join([*parts, b"u."])


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"
