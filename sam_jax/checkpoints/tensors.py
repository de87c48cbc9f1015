"""Tensors that still lie in a file, so that a checkpoint larger than memory's comfort passes through leaf by leaf."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
