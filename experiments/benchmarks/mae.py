"""What a masked autoencoder saves by encoding visible patches only: time and memory of a training step, as ratios.

    python -m experiments.benchmarks.mae [--size vit_b] [--images 4]

The two contestants differ in what the encoder sees, a quarter of the patches or all of them; the decoder sees all of
them in both. Memory is what XLA plans for the compiled step, beside weights and gradients.

With ViT-B, four images of 224 pixels and float32 on two CPU cores, all patches took 2.84 times as long and 2.40 times
the memory.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
import tyro

from experiments.benchmarks.timing import print_summaries, summarise, time_in_turns
from sam_jax.data.example import Batch
from sam_jax.models import (
    MAE_TINY,
    MAE_VIT_B,
    MAE_VIT_L,
    MaeConfig,
    MaskedAutoencoder,
    default_compute,
    init_mae,
)
from sam_jax.training.mae import compute_mae_gradients

VISIBLE, ALL = "visible patches only", "all patches"
SIZES = {"tiny": MAE_TINY, "vit_b": MAE_VIT_B, "vit_l": MAE_VIT_L}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare encoding a quarter of the patches with encoding all."""

    size: Literal["tiny", "vit_b", "vit_l"] = "vit_b"
    """Size of the model."""
    images: int = 4
    """Number of images of a step."""
    repeats: int = 5
    """How often each step is timed."""


def compile_step(
    config: MaeConfig, images: int, mask_ratio: float
) -> tuple[Callable[[], object], int]:
    """A function that computes the gradients of a batch, and the bytes that it needs beside weights and gradients."""
    model = MaskedAutoencoder(
        config, jax.tree.map(jax.numpy.asarray, init_mae(config)), default_compute(training=True)
    )
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (images, *config.image_size, 3), np.uint8)
    batch = Batch(
        images=pixels,
        fitted=np.tile(np.array(config.image_size, np.int32), (images, 1)),
        masks=np.zeros((images, 0, 1, 1), bool),
        valid=np.zeros((images, 0), bool),
    )
    keys = jax.random.split(jax.random.key(0), images)
    step = jax.jit(partial(compute_mae_gradients, mask_ratio=mask_ratio))
    arguments = model, model.variables["params"], batch, keys
    compiled = step.lower(*arguments).compile()
    memory: Any = compiled.memory_analysis()
    return lambda: jax.block_until_ready(compiled(*arguments)), memory.temp_size_in_bytes


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    config = SIZES[options.size]
    steps = {
        name: compile_step(config, options.images, ratio)
        for name, ratio in ((VISIBLE, 0.75), (ALL, 0.0))
    }
    seconds = time_in_turns({name: run for name, (run, _) in steps.items()}, options.repeats)
    summary = summarise(seconds, VISIBLE)
    print_summaries({f"gradients of {options.size}": summary}, VISIBLE)
    memory = {name: needed for name, (_, needed) in steps.items()}
    print(f"memory for activations: {memory[ALL] / memory[VISIBLE]:.2f} times {VISIBLE}")
    print(json.dumps({"seconds": summary, "bytes": memory}))


if __name__ == "__main__":
    main()
