"""PyTorch's `.pth` files without PyTorch: a pickle, and raw bytes for each storage.

Since PyTorch 1.6 they are records of a zip archive; before, they followed each other.
"""

import mmap
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sam_jax.checkpoints.tensors import LazyTensor, Tensors
from sam_jax.checkpoints.torch_pickle import parse, parse_with_itemsizes, serialize
from sam_jax.checkpoints.torch_records import STORAGE_DTYPES, TensorRecord
from sam_jax.checkpoints.torch_tree import Entries, collect
from sam_jax.storage import atomic_file
from sam_jax.types import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"
_OLD_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number whose pickle files from before PyTorch 1.6 begin with, in any protocol."""
START_BYTES = 32
"""Bytes from the beginning of a file that tell its format."""
_OLD_VERSION = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_COUNT = struct.Struct("<q")
_LARGEST_PICKLE = 64 * 2**20
_MOST_REPEATED = 2**30
_LARGEST_NOTE = 64
"""Bytes of the longest entry that holds a word or a number, such as the byte order."""
_ALIGNMENT = 64
_MISREAD = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
"""What `zipfile` raises, among others, when a damaged archive leads it astray."""


class TorchFile(NamedTuple):
    """What a PyTorch file holds.

    Attributes:
        tensors: Tensors by the keys that lead to them, joined by slashes.
        others: Outermost keys under which there is no tensor, with the names of foreign objects in brackets.
    """

    tensors: dict[str, LazyTensor]
    others: tuple[str, ...]


def read_pth(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote: read-only arrays mapped from the file, nothing loaded.

    Tensors inside nested dictionaries, as in a training checkpoint, have names like "model/conv1.weight". Nothing that
    the pickle names is run or imported, and what isn't a tensor is passed over.

    Raises:
        CheckpointError: The file is damaged, truncated or big-endian, or holds no tensors.
    """
    return _read(Path(path))[0]


def open_pth(path: str | os.PathLike) -> TorchFile:
    """Like `read_pth`, but each tensor is a copy, and the file's pages don't stay in memory after it."""
    arrays, others = _read(Path(path))
    tensors = {
        name: LazyTensor(array.shape, array.dtype, lambda array=array: _take(array))
        for name, array in arrays.items()
    }
    return TorchFile(tensors, others)


def is_old_file(start: bytes) -> bool:
    """Whether a file begins as PyTorch's did before 1.6."""
    return start.startswith(pickle.PROTO) and _OLD_MAGIC in start[:START_BYTES]


def _read(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # the second for names with a null character
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"cannot read {path}: {reason}") from error
    with file:
        try:
            start = file.read(START_BYTES)
            if is_old_file(start):
                file.seek(0)
                return _read_sequence(file)
            if not start.startswith(ZIP_MAGIC):
                raise CheckpointError("not a file that torch.save wrote")
            with zipfile.ZipFile(file) as archive:
                return _read_archive(archive, file.fileno())
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        except (zipfile.BadZipFile, zlib.error, *_MISREAD) as error:
            raise CheckpointError(f"{path}: truncated or damaged ({error})") from error


def _take(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)
    return copy


def _read_archive(
    archive: zipfile.ZipFile, descriptor: int
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    pickles = [
        name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(pickles) != 1:
        raise CheckpointError("a zip archive, but not a PyTorch file: it has no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    members = {member.filename: member for member in archive.infolist()}
    order = members.get(f"{folder}byteorder")
    if order is not None and _read_entry(archive, order, _LARGEST_NOTE) != b"little":
        raise CheckpointError(
            "written on a big-endian machine; save it again on a little-endian one"
        )
    entries = collect(parse(_read_entry(archive, members[pickles[0]], _LARGEST_PICKLE)))
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def find(key: str) -> tuple[int, int] | None:
        member = members.get(f"{folder}data/{key}")
        return None if member is None else (_find_values(member, mapped), member.file_size)

    return _view(entries, find, mapped), entries.others


def _read_sequence(file: BufferedReader) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """A file from before PyTorch 1.6."""
    # Pickles of a number, of the version, of the writer's machine, of the value and of the storages' names; then the
    # length of each storage and its values.
    parse(file)
    if parse(file) != _OLD_VERSION:
        raise CheckpointError("damaged, or of a version of PyTorch's format that never was")
    parse(file)
    value, itemsizes = parse_with_itemsizes(file)
    entries = collect(value)
    keys = parse(file)
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    places: dict[str, tuple[int, int]] = {}
    end = file.tell()
    for key in keys if isinstance(keys, list) else ():
        if key not in itemsizes or end + _COUNT.size > len(mapped):
            raise CheckpointError("truncated or damaged: a storage has no length or no type")
        start = end + _COUNT.size
        size = _COUNT.unpack(mapped[end:start])[0] * itemsizes[key]
        end = start + size
        if size < 0 or end > len(mapped):
            raise CheckpointError("truncated or damaged: a storage ends behind the end")
        places[key] = start, size
    return _view(entries, places.get, mapped), entries.others


def _view(
    entries: Entries, find: Callable[[str], tuple[int, int] | None], mapped: mmap.mmap
) -> dict[str, np.ndarray]:
    """The tensors where they lie in the file.

    Args:
        entries: Tensors by name.
        find: Gives the first byte of a storage and its number of bytes; None where there is no such storage.
        mapped: Content of the file.
    """
    _check_repetitions(entries.tensors)
    places: dict[str, tuple[int, int] | None] = {}
    arrays = {}
    for name, record in entries.tensors.items():
        if record.key not in places:
            places[record.key] = find(record.key)
        place = places[record.key]
        if place is None:
            raise CheckpointError(f"truncated or damaged: the values of {name} are absent")
        start, size = place
        itemsize = record.dtype.itemsize
        if record.storage_size * itemsize > size:
            raise CheckpointError(f"truncated or damaged: the values of {name} are cut short")
        arrays[name] = np.ndarray(
            record.shape,
            record.dtype,
            buffer=mapped,
            offset=start + record.offset * itemsize,
            strides=[stride * itemsize for stride in record.strides],
        )
    return arrays


def _check_repetitions(records: Mapping[str, TensorRecord]) -> None:
    """Tensors of stride 0 repeat a number; without a limit, a small file could ask for any amount of memory."""
    elements = [(prod(record.shape), record.storage_size) for record in records.values()]
    if sum(count for count, stored in elements if count > stored) > _MOST_REPEATED:
        raise CheckpointError("its tensors repeat few numbers more often than any model needs")


def _read_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """The content of an entry that has its proper size; nothing is unpacked otherwise.

    Raises:
        CheckpointError: The entry is longer than `most` bytes.
    """
    if member.file_size > most:
        raise CheckpointError(
            f"its {Path(member.filename).name} is too large for a file of tensors"
        )
    with archive.open(member) as entry:
        return entry.read(most)


def _find_values(member: zipfile.ZipInfo, mapped: mmap.mmap) -> int:
    """Where the bytes of an archive's member start; all of them lie inside the file."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise CheckpointError("its tensors are compressed, which PyTorch never does")
    header = mapped[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size:
        raise CheckpointError("truncated or damaged: a record starts behind the end")
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if magic != ZIP_MAGIC or start + member.file_size > len(mapped):
        raise CheckpointError("truncated or damaged: a record ends behind the end")
    return start


def write_pth(path: str | os.PathLike, tensors: Tensors, *, under: str | None = None) -> None:
    """Write a state dict that `torch.load(path, weights_only=True)` reads; one tensor is in memory at a time.

    The file appears when it is complete; until then `path` is what it was.

    Args:
        path: File to write.
        tensors: Tensors by name.
        under: Key of the state dict in a dictionary around it, or None for none.

    Raises:
        CheckpointError: PyTorch has no such dtype.
        InputError: The path cannot be written to.
        RunError: The disk is full or broken.
    """
    path = Path(path)
    dtypes = set(STORAGE_DTYPES.values())
    for name, tensor in tensors.items():
        if np.dtype(tensor.dtype) not in dtypes:
            raise CheckpointError(
                f"cannot write {path}: {name} is {tensor.dtype}, which .pth has not"
            )
    records = [
        (name, _describe(str(index), tensor.shape, np.dtype(tensor.dtype)))
        for index, (name, tensor) in enumerate(tensors.items())
    ]
    with atomic_file(path, is_durable=True) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), serialize(records, under))
        archive.writestr(zipfile.ZipInfo("archive/byteorder"), b"little")
        for index, tensor in enumerate(tensors.values()):
            member = zipfile.ZipInfo(f"archive/data/{index}")
            # PyTorch maps such files too, and wants the values aligned; "FB" is its own name for the filler.
            occupied = file.tell() + _LOCAL_HEADER.size + len(member.filename) + 4
            filler = -occupied % _ALIGNMENT
            member.extra = struct.pack("<2sH", b"FB", filler) + bytes(filler)
            values = np.ascontiguousarray(tensor)
            with archive.open(member, "w") as record:
                record.write(values.reshape(-1).view(np.uint8).data)
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3\n")


def _describe(key: str, shape: tuple[int, ...], dtype: np.dtype) -> TensorRecord:
    strides = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return TensorRecord(key, dtype, prod(shape), 0, tuple(shape), strides)
