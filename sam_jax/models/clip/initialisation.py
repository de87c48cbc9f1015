"""Random weights of CLIP, to train it from, or to try a program with."""

import math

import jax
import numpy as np

from sam_jax.models.clip.clip import (
    FIRST_SCALE,
    FIRST_SIGMOID_BIAS,
    FIRST_SIGMOID_SCALE,
    abstract_clip,
)
from sam_jax.models.clip.config import ClipConfig
from sam_jax.models.initialisation import draw_leaves, stream
from sam_jax.types import Variables

_EMBED_STD = 0.02


def init_clip(config: ClipConfig, seed: int = 0) -> Variables:
    """Random weights of a CLIP, equal for equal seeds on every device and version."""
    scale = FIRST_SIGMOID_SCALE if config.has_logit_bias else FIRST_SCALE
    scalars = {"logit_scale": math.log(scale), "logit_bias": FIRST_SIGMOID_BIAS}

    def draw(path: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path.rsplit("/", 1)[-1]
        if name in scalars:
            return np.array(scalars[name], np.float32)
        if name == "scale":
            return np.ones(leaf.shape, np.float32)
        if name in ("bias", "prompt_shift"):
            return np.zeros(leaf.shape, np.float32)
        std = math.prod(leaf.shape[:-1]) ** -0.5 if name == "kernel" else _EMBED_STD
        return np.float32(std) * stream(path, seed).standard_normal(leaf.shape, np.float32)

    return draw_leaves(draw, abstract_clip(config))
