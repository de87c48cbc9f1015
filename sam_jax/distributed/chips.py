"""Accelerators as their makers publish them, and slices or groups of them by name: v5e:16x16, h100:64."""

import math
import re
from dataclasses import dataclass

from sam_jax.types import InputError

_GIB = 1 << 30
_TPU_PAGES = "https://docs.cloud.google.com/tpu/docs"
_HOPPER = "https://www.nvidia.com/en-us/data-center"


@dataclass(frozen=True, kw_only=True)
class Chip:
    """What a chip can do at most.

    Attributes:
        name: Short name of the chip.
        kinds: Names that JAX gives such devices (`device_kind`).
        platform: Platform of JAX: tpu, gpu or cpu.
        flops: Floating-point operations a second in bfloat16 with sums in float32, without sparsity.
        memory: Size of its memory in bytes.
        bandwidth: Bytes a second between the chip and its memory.
        network: Bytes a second that reach the chip over all its links to its neighbours.
        sources: Pages that the figures are from.
    """

    name: str
    kinds: tuple[str, ...]
    platform: str
    flops: float
    memory: int
    bandwidth: float
    network: float
    sources: tuple[str, ...]


CHIPS = (
    Chip(
        name="v4",
        kinds=("TPU v4",),
        platform="tpu",
        flops=275e12,
        memory=32 * _GIB,
        bandwidth=1200e9,
        network=300e9,  # six links of 50 GB/s each way: Jouppi et al. 2023, section 2
        sources=(f"{_TPU_PAGES}/v4", "https://arxiv.org/abs/2304.01433"),
    ),
    Chip(
        name="v5e",
        kinds=("TPU v5 lite", "TPU v5e"),
        platform="tpu",
        flops=197e12,
        memory=16 * _GIB,
        bandwidth=819e9,
        network=400e9 / 2,
        sources=(f"{_TPU_PAGES}/v5e",),
    ),
    Chip(
        name="v5p",
        kinds=("TPU v5", "TPU v5p"),
        platform="tpu",
        flops=459e12,
        memory=95 * _GIB,
        bandwidth=2765e9,
        network=1200e9 / 2,
        sources=(f"{_TPU_PAGES}/v5p",),
    ),
    Chip(
        name="v6e",
        kinds=("TPU v6 lite", "TPU v6e"),
        platform="tpu",
        flops=918e12,
        memory=32 * _GIB,
        bandwidth=1638e9,
        network=800e9 / 2,
        sources=(f"{_TPU_PAGES}/v6e",),
    ),
    Chip(
        name="a100-40",
        kinds=("NVIDIA A100-SXM4-40GB",),
        platform="gpu",
        flops=312e12,
        memory=40 * _GIB,
        bandwidth=1555e9,
        network=600e9 / 2,
        sources=(f"{_HOPPER}/a100/",),
    ),
    Chip(
        name="a100",
        kinds=("NVIDIA A100-SXM4-80GB",),
        platform="gpu",
        flops=312e12,
        memory=80 * _GIB,
        bandwidth=2039e9,
        network=600e9 / 2,
        sources=(f"{_HOPPER}/a100/",),
    ),
    Chip(
        name="h100",
        kinds=("NVIDIA H100 80GB HBM3",),
        platform="gpu",
        flops=989.4e12,
        memory=80 * _GIB,
        bandwidth=3350e9,
        network=900e9 / 2,
        sources=(f"{_HOPPER}/h100/",),
    ),
    Chip(
        name="h200",
        kinds=("NVIDIA H200",),
        platform="gpu",
        flops=989.4e12,
        memory=141 * 10**9,
        bandwidth=4800e9,
        network=900e9 / 2,
        sources=(f"{_HOPPER}/h200/",),
    ),
)
"""Peaks of published tables. Makers give the bandwidth of links in both directions together; here it is that of one.
NVIDIA's is that of NVLink, within a host: between hosts there is less."""


def find_chip(kind: str) -> Chip | None:
    """The chip that a device is, if its peaks are known.

    Args:
        kind: Name that JAX gives the device, `jax.Device.device_kind`.
    """
    return next((chip for chip in CHIPS if kind in chip.kinds), None)


@dataclass(frozen=True)
class Topology:
    """Chips that run a program together.

    Attributes:
        name: Name by which they were asked for.
        platform: Platform of JAX: tpu, gpu or cpu.
        shape: Numbers of chips along the axes of a slice; one number where there are no axes.
        chip: What each can do; None for CPUs.
    """

    name: str
    platform: str
    shape: tuple[int, ...]
    chip: Chip | None

    @property
    def size(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)


def read_topology(name: str) -> Topology:
    """Chips by their name: a chip, a colon, and their number along each axis.

    Args:
        name: Such as v5e:16x16, v5p:8x8x4, h100:64, or cpu:8 for devices of this machine.

    Raises:
        InputError: There is no such chip, or the numbers are none.

    >>> read_topology("v5e:16x16").size
    256
    """
    kind, _, numbers = name.partition(":")
    chip = next((chip for chip in CHIPS if chip.name == kind), None)
    if chip is None and kind != "cpu":
        known = ", ".join([*(chip.name for chip in CHIPS), "cpu"])
        raise InputError(f"topology {name}: no chip {kind!r} is known; there are {known}")
    axes = {"v4": 3, "v5p": 3, "v5e": 2, "v6e": 2}.get(kind, 1)
    if not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})*", numbers) or numbers.count("x") + 1 != axes:
        example = {1: "8", 2: "4x8", 3: "4x4x8"}[axes]
        raise InputError(
            f"topology {name}: after {kind} come a colon and {'its numbers of chips' if axes > 1 else 'a number'}, "
            f"as in {kind}:{example}"
        )
    shape = tuple(int(number) for number in numbers.split("x"))
    return Topology(name, chip.platform if chip else "cpu", shape, chip)
