"""The pickle inside a PyTorch checkpoint, read and written by hand.

Python's own unpickler calls what the file names. This reader calls nothing: it follows the opcodes, and a name from the
file stays a string, compared with the few that tensors are made of. Whatever else a file names becomes a `Foreign`.
"""

import os
import pickle
import pickletools
import struct
import warnings
from collections.abc import Iterable
from io import BufferedReader
from typing import Any, TypeVar

from sam_jax.checkpoints.torch_records import (
    LONGEST_NAME,
    STORAGE_DTYPES,
    Foreign,
    Name,
    ScriptModule,
    TensorRecord,
    as_dict,
    find_itemsize,
    find_storage,
    make_foreign,
    make_object,
    rebuild,
)
from sam_jax.types import CheckpointError

_MOST_STEPS = 1_000_000
"""Opcodes of the longest pickle that is followed: each can make a container of a hundred bytes out of one."""

T = TypeVar("T")


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.itemsizes: dict[str, int] = {}

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
            case "UNICODE" | "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(argument)
            case "MARK":
                self.marks.append(len(stack))
            case "POP":
                if self.marks[-1:] == [len(stack)]:
                    self.marks.pop()
                else:
                    self.pop(1)
            case "POP_MARK":
                self.pop_to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self.pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.pop(int(opcode[-1]))))
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "LIST" | "FROZENSET":
                stack.append(self.pop_to_mark())
            case "APPEND":
                _add_items(stack, self.pop(1))
            case "APPENDS" | "ADDITEMS":
                _add_items(stack, self.pop_to_mark())
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                stack.append(as_dict(self.pop_to_mark()))
            case "SETITEM":
                _set_items(stack, self.pop(2))
            case "SETITEMS":
                _set_items(stack, self.pop_to_mark())
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GLOBAL":
                stack.append(Name(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                module, name = self.pop(2)
                stack.append(Name(f"{_text_of(module)}.{_text_of(name)}"))
            case "EXT1" | "EXT2" | "EXT4":
                stack.append(Foreign(f"extension {argument}"))
            case "PERSID":
                stack.append(Foreign("persistent object"))
            case "BINPERSID":
                (persistent_id,) = self.pop(1)
                stack.append(find_storage(persistent_id))
                self.itemsizes |= find_itemsize(persistent_id)
            case "REDUCE":
                stack.append(rebuild(*self.pop(2)))
            case "NEWOBJ":
                stack.append(make_object(self.pop(2)[0]))
            case "NEWOBJ_EX":
                stack.append(make_foreign(self.pop(3)[0]))
            case "OBJ":
                stack.append(make_foreign(self.pop_to_mark()[0]))
            case "INST":
                self.pop_to_mark()
                stack.append(make_foreign(Name(argument.replace(" ", "."))))
            case "BUILD":
                # Of a state dict these are the versions of its modules, of which no weights make use.
                (attributes,) = self.pop(1)
                if isinstance(stack[-1], ScriptModule):
                    stack[-1].update(attributes if isinstance(attributes, dict) else {})
                elif not isinstance(stack[-1], Foreign):
                    _container(stack[-1], dict)
            case _:
                raise CheckpointError(f"its pickle uses {opcode}, which no checkpoint needs")


def _container(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}")
    return value


def _add_items(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], Foreign):
        _container(stack[-1], list).extend(items)


def _set_items(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], Foreign):
        _container(stack[-1], dict).update(as_dict(items))


def _text_of(value: Any) -> str:
    return _container(value, str)[:LONGEST_NAME]


class _Within:
    """A file of which nothing is read that reaches behind its end, since memory is asked for before it is read."""

    def __init__(self, file: BufferedReader) -> None:
        self._size = os.fstat(file.fileno()).st_size
        self._file = file
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes:
        if count > self._size - self.tell():
            raise ValueError("it ends too soon")
        return self._file.read(count)


def parse(stream: bytes | BufferedReader) -> Any:
    """The value of a pickle: dictionaries, lists, tuples, text, numbers, `TensorRecord`s, and `Foreign` for the rest.

    Args:
        stream: The pickle, or a file that stands at its beginning; the file stands behind it afterwards.

    Raises:
        CheckpointError: The pickle is damaged, or tensors in it are; the message lacks the file's name.
    """
    return parse_with_itemsizes(stream)[0]


def parse_with_itemsizes(stream: bytes | BufferedReader) -> tuple[Any, dict[str, int]]:
    """Like `parse`, and the bytes of a number of every storage by its key, used or not."""
    machine = _Machine()
    source: Any = stream if isinstance(stream, bytes) else _Within(stream)
    try:
        # Damaged text has escapes that Python warns of.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            for number, (opcode, argument, _) in enumerate(pickletools.genops(source)):
                if number >= _MOST_STEPS:
                    raise CheckpointError("its pickle is too long for that of a file of tensors")
                machine.step(opcode.name, argument)
        (value,) = machine.stack
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"its pickle is damaged ({error})") from error
    return make_foreign(value) if isinstance(value, Name) else value, machine.itemsizes


def serialize(records: Iterable[tuple[str, TensorRecord]], under: str | None = None) -> bytes:
    """The pickle of a state dict, as `torch.save` writes it.

    Args:
        records: Names of tensors, and where their values lie.
        under: Key of the state dict in a dictionary around it, or None for none.
    """
    names = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
    parts = [b"\x80\x02", b"" if under is None else b"}" + _text(under)]
    parts.append(b"ccollections\nOrderedDict\n)R(")
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
    return b"".join([*parts, b"u." if under is None else b"us."])


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"
