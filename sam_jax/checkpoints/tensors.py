"""Tensors that still lie in a file, so that a checkpoint larger than memory's comfort passes through leaf by leaf."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np


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


def digest_leaves(tree: Any, about: str = "") -> str:
    """The SHA-256 digest of all leaves of a tree of weights, and of their paths, after that of a text."""
    digest = hashlib.sha256(about.encode())
    for path, leaf in jax.tree.leaves_with_path(tree):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def split_rows(tensor: Tensor) -> dict[str, LazyTensor]:
    """Queries, keys and values apart, of a tensor that has them one below the other."""
    rows = tensor.shape[0] // 3
    return {
        part: LazyTensor(
            (rows, *tensor.shape[1:]),
            np.dtype(tensor.dtype),
            partial(lambda start: np.asarray(tensor)[start : start + rows], index * rows),
        )
        for index, part in enumerate("qkv")
    }


def join_rows(parts: Sequence[Tensor]) -> LazyTensor:
    """Tensors as one, each below the one before."""
    rows = sum(part.shape[0] if part.shape else 0 for part in parts)
    return LazyTensor(
        (rows, *parts[0].shape[1:]),
        np.dtype(parts[0].dtype),
        lambda: np.concatenate([np.asarray(part) for part in parts]),
    )
