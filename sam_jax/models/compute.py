"""How a model is computed, as against what it computes: same weights, same numbers, another speed and memory."""

from dataclasses import dataclass, fields, replace

import jax
import jax.numpy as jnp

from sam_jax.ops.arguments import check_count
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Choices that trade speed, memory and precision; the defaults suit a CPU.

    Attributes:
        dtype: Dtype of activations and products, float32 or bfloat16; normalisation and softmax are always float32,
            and so are stored weights.
        remat: Whether the encoder's blocks are computed again in the backward pass instead of kept in memory.
        scan_blocks: Whether a run of windowed blocks between global ones is one compiled block in a loop.
        heads_at_once: Number of heads whose scores of global attention exist at a time.
        rows_at_once: Number of rows of the grid whose scores of global attention exist at a time.
        windows_at_once: Number of windows that are attended to in one product.
        tokens_at_once: Number of image tokens that pass through a block's MLP together.
        prompts_at_once: Number of prompts that are decoded together.
    """

    dtype: str = "float32"
    remat: bool = False
    scan_blocks: bool = False
    heads_at_once: int = 1
    rows_at_once: int = 8
    windows_at_once: int = 1
    tokens_at_once: int = 1024
    prompts_at_once: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        for field in fields(self):
            if field.name.endswith("_at_once"):
                check_count(field.name, getattr(self, field.name), least=1)

    @property
    def jax_dtype(self) -> jnp.dtype:
        return jnp.dtype(self.dtype)


ON_CPU = Compute()
"""For prediction on a CPU: the working set stays in its cache."""
ON_ACCELERATOR = Compute(
    heads_at_once=16,
    rows_at_once=16,
    windows_at_once=4096,
    tokens_at_once=1 << 20,
    prompts_at_once=64,
)
"""For GPUs and TPUs, which want to see much at once."""
IN_TRAINING_ON_CPU = Compute(
    heads_at_once=32,
    rows_at_once=64,
    windows_at_once=1024,
    tokens_at_once=1 << 20,
    prompts_at_once=32,
)
"""For small models: a loop costs more in the backward pass than it saves in the cache."""


CACHED_BYTES = 4 << 20
"""Of the image tokens of prompts that a CPU decodes together: more would not stay in its cache."""


def default_compute(*, training: bool = False, bytes_per_prompt: int | None = None) -> Compute:
    """The computation that suits the devices that JAX found.

    Args:
        training: Whether the computation is for training, and the model small.
        bytes_per_prompt: Size in bytes of the image tokens that each prompt has for itself,
            `SamConfig.bytes_per_prompt`; on a CPU, prompts for small models are decoded several at a time.
    """
    if jax.default_backend() != "cpu":
        return ON_ACCELERATOR
    if training:
        return IN_TRAINING_ON_CPU
    together = 1 if bytes_per_prompt is None else max(1, CACHED_BYTES // bytes_per_prompt)
    return replace(ON_CPU, prompts_at_once=together)
