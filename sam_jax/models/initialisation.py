"""Random weights to start training from, or to try a program with."""

import math
import zlib

import jax
import numpy as np

from sam_jax.models.config import SamConfig
from sam_jax.models.model import abstract_variables
from sam_jax.types import Variables

POSITIONS_STD = 0.02
ONES, ZEROS = ("scale",), ("bias", "rel_pos_h", "rel_pos_w")


def init_variables(config: SamConfig, seed: int = 0) -> Variables:
    """Random weights, equal for equal seeds on every device and version.

    They follow the distributions that the modules' own initialisers state, but are drawn by NumPy: compiling a program
    that draws hundreds of leaves takes JAX longer than drawing them.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _draw(
            jax.tree_util.keystr(path, simple=True, separator="/"), leaf, seed
        ),
        abstract_variables(config),
    )


def _draw(path: str, leaf: jax.ShapeDtypeStruct, seed: int) -> np.ndarray:
    name = path.rsplit("/", 1)[-1]
    if name in ONES:
        return np.ones(leaf.shape, np.float32)
    if name in ZEROS:
        return np.zeros(leaf.shape, np.float32)
    std = 1.0
    if name == "kernel":
        std = math.prod(leaf.shape[:-1]) ** -0.5
    elif name == "pos_embed":
        std = POSITIONS_STD
    draw = np.random.default_rng([seed, zlib.crc32(path.encode())])
    return np.float32(std) * draw.standard_normal(leaf.shape, np.float32)
