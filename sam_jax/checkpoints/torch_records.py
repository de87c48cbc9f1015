"""What tensors are made of in a PyTorch pickle: storages, and the few functions that make tensors of them.

Functions are their names here, and nothing is called.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

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
_OTHER_ITEMSIZES = {
    "torch.ComplexDoubleStorage": 16,
    "torch.ComplexFloatStorage": 8,
    "torch.QInt32Storage": 4,
    "torch.QInt8Storage": 1,
    "torch.QUInt2x4Storage": 1,
    "torch.QUInt4x2Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.UntypedStorage": 1,
    "torch.storage.UntypedStorage": 1,
}
"""Bytes of a number in storages of no weights; old files cannot be read without them."""
_KNOWN = {
    "collections.OrderedDict",
    "torch.Size",
    "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
}


LONGEST_NAME = 100
_MOST_AXES = 32


class TensorRecord(NamedTuple):
    """Where a tensor lies: `key` names its storage; offset and strides count elements of `dtype`."""

    key: str
    dtype: np.dtype
    storage_size: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Foreign:
    """An object that is neither a tensor nor a container of tensors; it is never made.

    Attributes:
        name: Name in the pickle of what would make the object.
    """

    name: str


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; never looked up."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Numbers of a file that tensors share; `offset` is where the part begins that a tensor counts from."""

    key: str
    dtype: np.dtype
    size: int
    offset: int


def as_dict(items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn as a dictionary, without what lies under other keys than text and numbers."""
    pairs = zip(items[::2], items[1::2], strict=True)
    # Hashing nested tuples can take for ever, and no state dict has such keys.
    return {key: value for key, value in pairs if isinstance(key, str | int)}


def printable(text: str) -> str:
    """Text from a file as a message can show it: on one line, and without orders to the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def make_foreign(maker: Any) -> Foreign:
    """What a name, or an object that is foreign itself, makes."""
    if not isinstance(maker, Name | Foreign):
        raise TypeError("not a function")
    return Foreign(printable(maker.name[:LONGEST_NAME]))


class ScriptModule(dict):
    """What a TorchScript archive keeps of a module: its attributes by their names. Its code is never looked at."""


def make_object(maker: Any) -> "Foreign | ScriptModule":
    """What a pickle makes of a class: a module of TorchScript, still empty, or something foreign."""
    if isinstance(maker, Name) and maker.name.startswith("__torch__."):
        return ScriptModule()
    return make_foreign(maker)


def find_storage(persistent_id: Any) -> Storage | Foreign:
    """The storage that an entry of a pickle stands for; foreign if its numbers are of a type that no weights have."""
    match persistent_id:
        case ("storage", Name(name), str() as key, _, size, *view):
            dtype = STORAGE_DTYPES.get(_without_device(name))
            if dtype is None:
                return Foreign(printable(name[:LONGEST_NAME]))
            match view:
                case [] | [None]:
                    offset = 0
                case [(_, offset, _)]:  # a part of another storage, before PyTorch 0.4
                    pass
                case _:
                    raise TypeError("not a part of a storage")
            return Storage(key, dtype, _count(size), _count(offset))
        case ("module", Name(name), *_):  # with its source, before PyTorch 1.6
            return Foreign(printable(name[:LONGEST_NAME]))
    raise TypeError("not a storage")


def find_itemsize(persistent_id: Any) -> dict[str, int]:
    """Bytes of a number by the key of its storage."""
    match persistent_id:
        case ("storage", Name(name), str() as key, *_):
            name = _without_device(name)
            dtype = STORAGE_DTYPES.get(name)
            size = _OTHER_ITEMSIZES.get(name) if dtype is None else dtype.itemsize
            return {} if size is None else {key: size}
    return {}


def _without_device(name: str) -> str:
    return name.replace("torch.cuda.", "torch.")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("not a count")
    return value


def rebuild(function: Any, arguments: Any) -> Any:
    """What a pickle's call stands for: a tensor, a container, or something foreign.

    Raises:
        CheckpointError: A tensor cannot be made from such arguments.
    """
    match function, arguments:
        case Name("collections.OrderedDict"), ():
            return {}
        case Name("collections.OrderedDict"), (list() as pairs,):  # as Python 2 wrote it
            return as_dict([part for pair in pairs for part in _pair(pair)])
        case Name("torch.Size"), (tuple() as shape,):
            return shape
        case (
            Name("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state"),
            (TensorRecord() as tensor, bool(), dict(), *_),
        ):
            return tensor
        case (
            Name("torch._tensor._rebuild_from_type_v2"),
            (Name("torch._utils._rebuild_tensor_v2") as inner, _, tuple() as inner_arguments, _),
        ):
            return rebuild(inner, inner_arguments)
        case (
            Name("torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2"),
            (Storage() as storage, offset, tuple() as shape, tuple() as strides, *_),
        ):
            record = TensorRecord(
                storage.key,
                storage.dtype,
                storage.size,
                storage.offset + _count(offset),
                tuple(map(_count, shape)),
                tuple(map(_count, strides)),
            )
            _check_extent(record)
            return record
        case Name(name), tuple() if name in _KNOWN:
            if any(isinstance(part, Foreign | Name) for part in arguments):
                return Foreign(name)  # a tensor of a kind that no weights have
            raise CheckpointError(f"its pickle calls {name} with arguments that no tensor has")
    return make_foreign(function)


def _pair(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError("not a pair")
    return value


def _check_extent(record: TensorRecord) -> None:
    if len(record.shape) != len(record.strides) or len(record.shape) > _MOST_AXES:
        raise ValueError("as many strides as axes, and few of both")
    elements = prod(record.shape)
    last = record.offset + sum(
        (side - 1) * stride for side, stride in zip(record.shape, record.strides, strict=True)
    )
    if elements and last >= record.storage_size:
        raise CheckpointError(f"a tensor of shape {record.shape} reaches beyond its storage")
