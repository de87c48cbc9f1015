"""How a model is computed, as against what it computes: same weights, same numbers, another speed and memory."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

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
        heads_at_once: Number of heads whose scores of global attention exist at a time. This and what follows is
            over all images of a batch, of each of which there is at least one of a kind.
        rows_at_once: Number of rows of the grid, of each head, whose scores of global attention exist at a time.
        windows_at_once: Number of windows that are attended to in one product.
        tokens_at_once: Number of image tokens that pass through a block's MLP together.
        prompts_at_once: Number of prompts that are decoded together, and in training, of masks that go through a
            session together; fewer than there are images, such as 1, decode one image after another, which needs the
            least memory and is not divided among devices.
        attention: "strips" for attention in strips of query rows, on any device; "cudnn" for cuDNN's fused kernel, with
            bfloat16 on NVIDIA GPUs from Hopper on; "splash" for JAX's fused kernel on TPUs; None where `suit` shall
            choose, and strips where it does not. Layers that a kernel does not fit go in strips.
    """

    dtype: str = "float32"
    remat: bool = False
    scan_blocks: bool = False
    heads_at_once: int = 1
    rows_at_once: int = 8
    windows_at_once: int = 1
    tokens_at_once: int = 1024
    prompts_at_once: int = 1
    attention: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        if self.attention not in (None, "strips", "cudnn", "splash"):
            raise InputError(f"attention is strips, cudnn or splash, not {self.attention!r}")
        if self.attention == "cudnn" and self.dtype != "bfloat16":
            raise InputError("attention by cudnn takes dtype bfloat16; take strips, or bfloat16")
        for field in fields(self):
            if field.name.endswith("_at_once"):
                check_count(field.name, getattr(self, field.name), least=1)

    @property
    def fused_kernel(self) -> Literal["cudnn", "splash"] | None:
        """The kernel that computes attention; None for attention in strips."""
        return self.attention if self.attention in ("cudnn", "splash") else None

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


HOPPER = 9
"""Compute capability of the first NVIDIA GPUs whose fused attention takes heads as wide as SAM's extended ones."""


def suit(compute: Compute, device: Any) -> Compute:
    """A computation whose open choices are made for a device.

    Args:
        compute: How a model is computed; `compute.attention` may be None.
        device: A device of JAX, of the mesh on which the model will run.
    """
    if compute.attention is not None:
        return compute
    kernel = _find_kernel(device) if compute.dtype == "bfloat16" else None
    return replace(compute, attention=kernel or "strips")


def _find_kernel(device: Any) -> str | None:
    if device.platform == "tpu":
        return "splash"
    capability = str(getattr(device, "compute_capability", "")).split(".")[0]
    return "cudnn" if capability.isdigit() and int(capability) >= HOPPER else None
