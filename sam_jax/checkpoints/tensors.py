"""Tensors that still lie in a file, so that a checkpoint larger than memory's comfort passes through leaf by leaf."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np

from sam_jax.types import CheckpointError


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read, or computed, each time it is asked for and kept by nobody."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.read(), dtype, copy=copy)


Tensor = np.ndarray | jax.Array | LazyTensor
Tensors = Mapping[str, Tensor]


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is complete, or leaves no trace.

    It lies beside `path` under another name until it is whole and on the disk. Only a killed process leaves it behind.

    Raises:
        CheckpointError: the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        file = unfinished.open("wb")
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
