"""PyTorch's `.pth` files without PyTorch: a zip archive of one pickle and a record of raw bytes for each storage."""

import mmap
import os
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sam_jax.checkpoints.tensors import LazyTensor, Tensors
from sam_jax.checkpoints.torch_pickle import STORAGE_DTYPES, TensorRecord, parse, serialize
from sam_jax.storage import atomic_file
from sam_jax.types import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LARGEST_PICKLE = 64 * 2**20
_ALIGNMENT = 64
_MISREAD = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
"""What `zipfile` raises, among others, when a damaged archive leads it astray."""
_NESTED_UNDER = ("model", "state_dict", "model_state_dict")


def read_pth(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The state dict of a file that `torch.save` wrote: read-only arrays mapped from the file, nothing loaded.

    Takes the state dict alone, or the one under "model", "state_dict" or "model_state_dict" of a training checkpoint.
    Nothing that the pickle names is run or imported.

    Raises:
        CheckpointError: The file is damaged, truncated, older than PyTorch 1.6 or big-endian, or its pickle names more
            than tensors.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    with file:
        try:
            if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
                raise CheckpointError(
                    "not a zip archive, as PyTorch has written since 1.6; if it is older, load it "
                    "in PyTorch and save it again"
                )
            with zipfile.ZipFile(file) as archive:
                return _read_archive(archive, file.fileno())
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        except (zipfile.BadZipFile, zlib.error, *_MISREAD) as error:
            raise CheckpointError(f"{path}: truncated or damaged ({error})") from error


def open_pth(path: str | os.PathLike) -> dict[str, LazyTensor]:
    """Like `read_pth`, but each tensor is a copy, and the file's pages don't stay in memory after it."""
    return {
        name: LazyTensor(array.shape, array.dtype, lambda array=array: _take(array))
        for name, array in read_pth(path).items()
    }


def _take(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.base.madvise(mmap.MADV_DONTNEED)
    return copy


def _read_archive(archive: zipfile.ZipFile, descriptor: int) -> dict[str, np.ndarray]:
    pickles = [
        name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(pickles) != 1:
        raise CheckpointError("a zip archive, but not a PyTorch file: it has no data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    members = {member.filename: member for member in archive.infolist()}
    if f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") != b"little":
        raise CheckpointError(
            "written on a big-endian machine; save it again on a little-endian one"
        )
    if members[pickles[0]].file_size > _LARGEST_PICKLE:
        raise CheckpointError("its data.pkl is too large for a file of tensors")
    records = _find_state_dict(parse(archive.read(pickles[0])))
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    starts: dict[str, int] = {}
    arrays = {}
    for name, record in records.items():
        if record.key not in starts:
            member = members.get(f"{folder}data/{record.key}")
            if member is None:
                raise CheckpointError(f"truncated or damaged: the values of {name} are absent")
            starts[record.key] = _find_values(member, mapped)
        start, size = starts[record.key], members[f"{folder}data/{record.key}"].file_size
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


def _find_state_dict(value: Any) -> dict[str, TensorRecord]:
    for inner in (value.get(key) for key in _NESTED_UNDER) if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            value = inner
            break
    if not isinstance(value, dict) or not value:
        raise CheckpointError("holds no state dict")
    for name, record in value.items():
        if not isinstance(name, str) or not isinstance(record, TensorRecord):
            raise CheckpointError(f"holds no state dict: {name!r} is not a tensor")
    return value


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


def write_pth(path: str | os.PathLike, tensors: Tensors) -> None:
    """Write a state dict that `torch.load(path, weights_only=True)` reads; one tensor is in memory at a time.

    The file appears when it is complete; until then `path` is what it was.

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
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), serialize(records))
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
