"""Arrays out of .npz and .mat files, of which a small one can unpack to any size: they are measured before that.

SciPy's readers take long to import, and few data sets have .mat files: they are imported where one is read.
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_MAT_HEADER = 128
_MAT_TAG = struct.Struct("<II")
_MAT_COMPRESSED = 15
_STEP = 1 << 20


def measure_npz(path: Path, array: str) -> tuple[int, ...]:
    """The shape of an array in an .npz file, which stays packed.

    Raises:
        ValueError: There is no such array, or it is damaged; as do other exceptions of `zipfile` and NumPy.
    """
    with (
        path.open("rb") as content,
        zipfile.ZipFile(content) as archive,
        archive.open(f"{array}.npy") as file,
    ):
        return _read_npy_header(file)[0]


def read_npz(path: Path, array: str, most: int) -> np.ndarray:
    """Read an array of numbers from an .npz file.

    Args:
        path: Path of the file.
        array: Name of the array.
        most: The most bytes that the array may have.

    Raises:
        ValueError: The array is larger, is no array of numbers, or is damaged; as do other exceptions of `zipfile` and
            NumPy.
    """
    with path.open("rb") as content, zipfile.ZipFile(content) as archive:
        with archive.open(f"{array}.npy") as file:
            shape, _, dtype = _read_npy_header(file)
        size = dtype.itemsize
        for side in shape:
            size *= side
        if dtype.hasobject or size > most:
            raise ValueError(f"{array} would take {size} bytes, more than any truth of this photo")
        with archive.open(f"{array}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def measure_mat(path: Path) -> list[tuple[int, ...]]:
    """The shapes of the variables of a .mat file.

    Raises:
        ValueError: The file is damaged; as do other exceptions of SciPy.
    """
    import scipy.io

    return [shape for _, shape, _ in scipy.io.whosmat(path)]


def read_mat(path: Path, variable: str, most: int) -> np.ndarray:
    """Read a variable of a .mat file.

    Args:
        path: Path of the file.
        variable: Name of the variable.
        most: The most bytes that the file may unpack to.

    Raises:
        ValueError: The file unpacks to more, or is damaged; as do other exceptions of SciPy.
    """
    import scipy.io

    content = path.read_bytes()
    _check_mat(content, most)
    return scipy.io.loadmat(io.BytesIO(content))[variable]


def _read_npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise ValueError(f"an array of version {version}")
    return _NPY_HEADERS[version](file)


def _check_mat(content: bytes, most: int) -> None:
    """Unpack the elements of a .mat file piece by piece, keeping none, until there are too many bytes."""
    place, unpacked = _MAT_HEADER, len(content)
    while place + _MAT_TAG.size <= len(content):
        kind, size = _MAT_TAG.unpack_from(content, place)
        place += _MAT_TAG.size
        if kind == _MAT_COMPRESSED:
            stream, piece = zlib.decompressobj(), content[place : place + size]
            while piece:
                unpacked += len(stream.decompress(piece, _STEP))
                if unpacked > most:
                    raise ValueError("it unpacks to more than any truth of this photo")
                piece = stream.unconsumed_tail
        place += size
