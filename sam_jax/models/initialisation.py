"""Random weights to start training from, or to try a program with."""

import math
import zlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sam_jax.models.config import SamConfig
from sam_jax.models.detector import DetectorConfig, abstract_detector
from sam_jax.models.mae import MaeConfig, abstract_mae
from sam_jax.models.model import abstract_variables
from sam_jax.ops.patches import sine_cosine_positions
from sam_jax.types import Variables

POSITIONS_STD = 0.02
ONES, ZEROS = ("scale",), ("bias", "rel_pos_h", "rel_pos_w")


def init_mae(config: MaeConfig, seed: int = 0) -> Variables:
    """Random weights of a masked autoencoder, equal for equal seeds on every device and version.

    Source: [MAE](https://arxiv.org/abs/2111.06377), appendix A.1: Xavier's uniform distribution
    ([Glorot and Bengio 2010](https://proceedings.mlr.press/v9/glorot10a)).
    """
    positions = {
        "encoder": sine_cosine_positions(config.grid, config.encoder.width),
        "decoder": sine_cosine_positions(config.grid, config.decoder.width),
    }

    def draw(path: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path.rsplit("/", 1)[-1]
        if name == "pos_embed":
            return positions[path.split("/")[1]]
        if name == "scale":
            return np.ones(leaf.shape, np.float32)
        if name == "bias":
            return np.zeros(leaf.shape, np.float32)
        if name == "kernel":
            limit = math.sqrt(6 / (math.prod(leaf.shape[:-1]) + leaf.shape[-1]))
            return np.float32(limit) * (2 * stream(path, seed).random(leaf.shape, np.float32) - 1)
        return np.float32(POSITIONS_STD) * stream(path, seed).standard_normal(
            leaf.shape, np.float32
        )

    return draw_leaves(draw, abstract_mae(config))


def init_variables(config: SamConfig, seed: int = 0) -> Variables:
    """Random weights, equal for equal seeds on every device and version.

    They follow the distributions that the modules' own initialisers state, but are drawn by NumPy: compiling a program
    that draws hundreds of leaves takes JAX longer than drawing them.
    """
    return draw_leaves(lambda path, leaf: _draw(path, leaf, seed), abstract_variables(config))


def init_detector(config: DetectorConfig, seed: int = 0) -> Variables:
    """Random weights of a detector, equal for equal seeds on every device and version."""
    return draw_leaves(lambda path, leaf: _draw(path, leaf, seed), abstract_detector(config))


def _draw(path: str, leaf: jax.ShapeDtypeStruct, seed: int) -> np.ndarray:
    name = path.rsplit("/", 1)[-1]
    if name in ONES:
        return np.ones(leaf.shape, np.float32)
    if name in ZEROS:
        return np.zeros(leaf.shape, np.float32)
    std = 1.0
    if name == "kernel" and "text_projection" not in path:
        std = math.prod(leaf.shape[:-1]) ** -0.5
    elif name == "pos_embed":
        std = POSITIONS_STD
    return np.float32(std) * stream(path, seed).standard_normal(leaf.shape, np.float32)


def stream(path: str, seed: int) -> np.random.Generator:
    """Random numbers that belong to one leaf."""
    return np.random.default_rng([seed, zlib.crc32(path.encode())])


def draw_leaves(draw: Callable[[str, jax.ShapeDtypeStruct], np.ndarray], tree: Any) -> Any:
    """A tree of weights whose leaves are drawn one by one.

    Args:
        draw: Weights of a leaf, from its path and its shape.
        tree: Shapes and dtypes of the leaves.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: draw(jax.tree_util.keystr(path, simple=True, separator="/"), leaf), tree
    )
