"""One training state in files: each process writes its part, and any number of processes reads it on any devices.

A state is a folder with one safetensors file for each of the processes that wrote it, `ATTEMPT.I-of-N.safetensors`.
The state is whole when there are all N files of one attempt, each of which appears whole: so nobody needs to rename
anything, or to say when all are done. A file holds pieces of arrays, named by the array's path and the place of the
piece in it, with a checksum of each.
"""

import contextlib
import functools
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from sam_jax.checkpoints.safetensors_file import DTYPES, write_safetensors

ENDING = ".safetensors"
_NAME = re.compile(r"([0-9a-f]+)\.(\d+)-of-(\d+)\.safetensors")
_LONGEST_HEADER = 1 << 30

Place = tuple[tuple[int, int], ...]
"""Where a piece lies in its array: start and end along each axis."""


class DamagedError(Exception):
    """Files of a state are missing, cut off or changed."""


class Version(NamedTuple):
    """A whole state among the files of a folder.

    Attributes:
        attempt: Name of the attempt that wrote it.
        parts: Number of its files.
    """

    attempt: str
    parts: int

    def path(self, folder: Path, part: int) -> Path:
        """The path of one of the files."""
        return folder / f"{self.attempt}.{part}-of-{self.parts}{ENDING}"


def find_version(folder: Path) -> Version | None:
    """The version that is whole and not known to be damaged; None if there is none."""
    there: dict[Version, set[int]] = {}
    names = [path.name for path in folder.iterdir()]
    for found in filter(None, map(_NAME.fullmatch, names)):
        there.setdefault(Version(found[1], int(found[3])), set()).add(int(found[2]))
    for version, parts in sorted(there.items()):
        if parts == set(range(version.parts)) and mark_of_damage(version) not in names:
            return version
    return None


def mark_of_damage(version: Version) -> str:
    """Name of the file that says why a version is damaged."""
    return f"{version.attempt}.damaged.txt"


def take_pieces(tree: Any) -> dict[str, np.ndarray]:
    """Copies, in the memory of this machine, of the pieces of a tree that this process has to write.

    Together the processes have every piece once; of arrays that all of them hold whole, each has its share.
    """
    mine, loads = [], [0] * jax.process_count()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path)
        if leaf.sharding.is_fully_replicated:
            writer = loads.index(min(loads))
            loads[writer] += leaf.nbytes
            shards = leaf.addressable_shards[:1] if writer == jax.process_index() else []
        else:
            shards = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
        for shard in shards:
            shard.data.copy_to_host_async()
            mine.append((_name_piece(name, shard.index, leaf.shape), shard.data))
    # The arrays are used up by the next step, so what is only a view of them must be copied.
    return {name: np.array(data, copy=True) for name, data in mine}


def write_part(path: Path, pieces: Mapping[str, np.ndarray], about: Any) -> None:
    """Write the part of one process.

    Args:
        path: The path of the file, from `Version.path`.
        pieces: The pieces, from `take_pieces`.
        about: What is saved beside the arrays, as JSON can hold it.

    Raises:
        InputError: The path cannot be written to.
        RunError: The disk is full or broken, or the bucket cannot be reached.
    """
    sums = {name: zlib.crc32(_bytes_of(piece)) for name, piece in pieces.items()}
    text = json.dumps(about)
    metadata = {"about": text, "sums": json.dumps([zlib.crc32(text.encode()), sums])}
    write_safetensors(path, pieces, metadata)


class StoredState:
    """The files of a whole state, open for reading.

    Args:
        folder: The folder of the state.
        version: The version to read, from `find_version`.

    Attributes:
        about: What was saved beside the arrays.

    Raises:
        DamagedError: A file is missing or damaged.
        OSError: A file cannot be read; every method can raise it.
        RunError: A bucket cannot be reached; likewise.
    """

    def __init__(self, folder: Path, version: Version) -> None:
        self._pieces: dict[str, list[tuple[Place, _Piece]]] = {}
        for part in range(version.parts):
            path = version.path(folder, part)
            about, pieces = _read_header(path)
            if part == 0:
                self.about = about
            for name, piece in pieces.items():
                array, place = _parse_piece(name, path)
                self._pieces.setdefault(array, []).append((place, piece))

    def read(self, like: Any) -> Any:
        """Read the arrays of a tree onto devices.

        Args:
            like: The tree with a `jax.ShapeDtypeStruct`, sharding included, in place of each array.

        Raises:
            DamagedError: An array is missing or damaged, or has another shape or dtype.
        """
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: self._read_leaf(jax.tree_util.keystr(path), leaf), like
        )

    def _read_leaf(self, name: str, like: jax.ShapeDtypeStruct) -> jax.Array:
        pieces = self._pieces.get(name, [])

        @functools.lru_cache(maxsize=1)
        def read(place: Place) -> np.ndarray:
            values = np.empty([end - start for start, end in place], like.dtype)
            filled = 0
            for piece_place, piece in pieces:
                common = [
                    (max(a, c), min(b, d))
                    for (a, b), (c, d) in zip(place, piece_place, strict=True)
                ]
                if any(start >= end for start, end in common):
                    continue
                target = tuple(
                    slice(s - a, e - a) for (s, e), (a, _) in zip(common, place, strict=True)
                )
                source = tuple(
                    slice(s - c, e - c) for (s, e), (c, _) in zip(common, piece_place, strict=True)
                )
                values[target] = piece.read(like.dtype)[source]
                filled += math.prod(end - start for start, end in common)
            if filled != values.size:
                raise DamagedError(f"{name} is not complete")
            return values

        def of_device(index: Any) -> np.ndarray:
            return read(_place_of(index, like.shape))

        assert like.sharding is not None
        return jax.make_array_from_callback(like.shape, like.sharding, of_device)


class _Piece(NamedTuple):
    """A piece in a file: where its bytes lie, and what they must add up to."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    sum: int

    def read(self, dtype: Any) -> np.ndarray:
        size = math.prod(self.shape) * self.dtype.itemsize
        with _missing_is_damaged(self.path), self.path.open("rb") as file:
            file.seek(self.start)
            content = file.read(size)
        if len(content) != size or zlib.crc32(content) != self.sum or self.dtype != dtype:
            raise DamagedError(f"{self.path.name} is cut off or changed")
        return np.frombuffer(content, self.dtype).reshape(self.shape)


def _read_header(path: Path) -> tuple[Any, dict[str, _Piece]]:
    with _missing_is_damaged(path), path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LONGEST_HEADER
        encoded = file.read(length) if length < _LONGEST_HEADER else b""
    try:
        header = json.loads(encoded)
        metadata = header.pop("__metadata__")
        about_sum, sums = json.loads(metadata["sums"])
        if zlib.crc32(metadata["about"].encode()) != about_sum:
            raise ValueError("a changed header")
        pieces = {
            name: _Piece(
                path,
                DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
                8 + length + entry["data_offsets"][0],
                sums[name],
            )
            for name, entry in header.items()
        }
        return json.loads(metadata["about"]), pieces
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path.name} is cut off or changed") from error


@contextlib.contextmanager
def _missing_is_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedError(f"{path.name} is missing") from error


def _name_piece(name: str, index: tuple[slice, ...], shape: tuple[int, ...]) -> str:
    return f"{name}|" + ",".join(f"{start}:{end}" for start, end in _place_of(index, shape))


def _parse_piece(name: str, path: Path) -> tuple[str, Place]:
    array, _, place = name.rpartition("|")
    try:
        sides = [side.split(":") for side in place.split(",") if side]
        return array, tuple((int(start), int(end)) for start, end in sides)
    except ValueError as error:
        raise DamagedError(f"{path.name} is cut off or changed") from error


def _place_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Place:
    sides = (side.indices(length)[:2] for side, length in zip(index, shape, strict=True))
    return tuple((start, end) for start, end in sides)


def _bytes_of(piece: np.ndarray) -> memoryview:
    return np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
