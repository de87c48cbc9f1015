"""What a frozen network makes of its inputs, in files: computed once, and read from then on.

A file is named by what it was made of, in a folder that is named by the network, so runs can share the files, and
whatever changes gets files of its own.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from sam_jax.storage import atomic_file, make_folder, remove_leftovers
from sam_jax.types import RunError

T = TypeVar("T")


class KeptArrays:
    """Trees of arrays in the files of a folder.

    Args:
        folder: Folder of the files.
        advice: What to do where the disk refuses a file, for messages.

    Attributes:
        folder: Folder of the files.

    Raises:
        InputError: The folder cannot be made.
    """

    def __init__(self, folder: Path, advice: str) -> None:
        self.folder = folder
        self._advice = advice
        make_folder(folder)
        remove_leftovers(folder)

    def find(self, made_of: Iterable[bytes], like: Any, compute: Callable[[], T]) -> T:
        """Read arrays, or compute and keep them.

        Args:
            made_of: All that the arrays depend on beside the folder's network.
            like: Shapes and dtypes of the arrays.
            compute: Computes the arrays.

        Raises:
            RunError: The disk refuses the file.
        """
        digest = hashlib.blake2b(digest_size=16)
        for part in made_of:
            digest.update(part)
        path = self.folder / digest.hexdigest()
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            if len(content) == count_bytes(like):
                # Of a file that somebody else owns, or in a bucket, the age stays.
                with suppress(OSError):
                    path.touch()
                return _unpack(content, like)
        arrays = compute()
        self._write(path, b"".join(leaf.tobytes() for leaf in jax.tree.leaves(arrays)))
        return arrays

    def keep_within(self, most_bytes: int) -> None:
        """Remove the files that were not used for the longest time, until the others fit into a number of bytes."""
        files = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process removes them, too
                about = path.stat()
                files.append((about.st_mtime, about.st_size, path))
        surplus = sum(size for _, size, _ in files) - most_bytes
        for _, size, path in sorted(files):
            if surplus <= 0:
                break
            path.unlink(missing_ok=True)
            surplus -= size

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with atomic_file(path) as file:
                file.write(content)
        except RunError as error:
            raise RunError(f"{error}; {self._advice}") from error


def count_bytes(like: Any) -> int:
    """Size of a file of arrays."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))


def _unpack(content: bytes, like: Any) -> Any:
    """The arrays that lie behind one another in a file."""
    arrays, offset = [], 0
    for leaf in jax.tree.leaves(like):
        flat = np.frombuffer(content, leaf.dtype, math.prod(leaf.shape), offset)
        arrays.append(flat.reshape(leaf.shape))
        offset += count_bytes(leaf)
    return jax.tree.unflatten(jax.tree.structure(like), arrays)
