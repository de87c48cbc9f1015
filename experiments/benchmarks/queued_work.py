"""Work that a device queues: runs that wait for its end, and how many operations it could do in the time."""

from collections.abc import Callable

import jax
import numpy as np
import torch

from experiments.benchmarks.timing import time_in_turns
from sam_jax.models import SamConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
"""Where PyTorch runs."""
Run = Callable[[], object]


def encoder_flop(config: SamConfig) -> float:
    """Floating-point operations of the products of encoding one image, two for a multiplication with addition."""
    encoder = config.image_encoder
    gh, gw = encoder.grid
    tokens, width = gh * gw, encoder.width
    hidden = int(width * encoder.mlp_ratio)
    layers = encoder.depth * tokens * (4 * width**2 + 2 * width * hidden)
    window = encoder.window_size
    windows = -(-gh // window) * -(-gw // window)
    whole = len(encoder.global_blocks)
    scores = whole * tokens**2 + (encoder.depth - whole) * windows * window**4
    patches = tokens * 3 * encoder.patch_size**2 * width
    out = encoder.out_channels
    neck = tokens * (width * out + 9 * out**2)
    return 2.0 * (layers + 2 * scores * width + patches + neck)


def measure_peak(dtype: torch.dtype) -> float:
    """Operations a second that a large matrix product of PyTorch reaches here; the median of ten."""
    side = 8192 if DEVICE == "cuda" else 1024
    a, b = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    seconds = time_in_turns({"": synchronised(lambda: a @ b)}, 10)[""]
    return 2 * side**3 / float(np.median(seconds))


def synchronised(run: Run, repeats: int = 1) -> Run:
    """Several runs of PyTorch code one after the other, and the wait for their end."""

    @torch.no_grad()
    def wait() -> None:
        for _ in range(repeats):
            run()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return wait


def awaited(run: Run, repeats: int) -> Run:
    """Several runs of JAX code one after the other, and the wait for their end."""

    def wait() -> None:
        jax.block_until_ready([run() for _ in range(repeats)][-1])

    return wait
