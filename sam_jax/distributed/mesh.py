"""The mesh of all devices, and where arrays lie on it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sam_jax.types import InputError

DATA = "data"
"""The first axis of the mesh: along it lie copies of the parameters."""
FSDP = "fsdp"
"""The second axis of the mesh: devices along it hold one copy of the parameters together, if these are divided."""
DEVICES = (DATA, FSDP)
"""Both axes as one: the images of a batch are divided along it."""
LEAST_DIVIDED = 1 << 13
"""Number of elements from which a leaf is divided. Smaller ones, such as biases, norms and tokens, are most of the
leaves and next to nothing of the memory, and each would be a collective of its own."""


def device_mesh(devices: Sequence[Any] | None = None, sharded_over: int | None = None) -> Mesh:
    """A mesh of devices, `DATA` × `FSDP`, in the order of slices and of processes.

    Args:
        devices: The devices; the default is all devices of all processes.
        sharded_over: Number of neighbouring devices that hold one copy of the parameters together; the default is all
            devices of a slice, which have fast links to each other, or all where there are no slices.

    Raises:
        InputError: The number of devices is no multiple of `sharded_over`.
    """
    ordered = sorted(
        jax.devices() if devices is None else devices,
        key=lambda device: (_slice_of(device), device.process_index),
    )
    if sharded_over is None:
        slices = len({_slice_of(device) for device in ordered})
        sharded_over = len(ordered) // slices
    if len(ordered) % sharded_over:
        raise InputError(
            f"sharded_over {sharded_over} cannot divide {len(ordered)} devices; take {_join(_divisors(len(ordered)))}"
        )
    return Mesh(np.array(ordered).reshape(-1, sharded_over), DEVICES)


def _slice_of(device: Any) -> int:
    return getattr(device, "slice_index", None) or 0


def check_divisible(images: int, micro_batches: int, mesh: Mesh) -> None:
    """Refuse a batch of which the devices cannot have equal shares.

    Args:
        images: Number of images in a batch, a multiple of `micro_batches`.
        micro_batches: Number of parts of a device's share.
        mesh: The devices, from `device_mesh`.

    Raises:
        InputError: The message has the numbers of images, micro-batches and devices that do.
    """
    step = mesh.size * micro_batches
    if images % step == 0:
        return
    parts = f" and {micro_batches} micro_batches" if micro_batches > 1 else ""
    less, more = images // step * step, -(-images // step) * step
    choices = [f"a multiple of {step}, such as {f'{less} or {more}' if less else more}"]
    if images % mesh.size == 0:
        choices.append(f"micro_batches {_join(_divisors(images // mesh.size))}")
    fewer = [count for count in _divisors(images // micro_batches) if count < mesh.size]
    choices.append(f"{_join(fewer)} devices")
    raise InputError(
        f"batch_size {images} cannot be divided over {mesh.size} devices{parts}; take {', or '.join(choices)}"
    )


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _join(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def parameter_specs(tree: Any, mesh: Mesh, *, sharded: bool) -> Any:
    """Where each leaf of a training state lies: a tree of `PartitionSpec`.

    Args:
        tree: Parameters, the optimiser's state, or both; leaves need only a shape.
        mesh: The devices, from `device_mesh`.
        sharded: Whether each leaf of `LEAST_DIVIDED` elements and more is divided among the devices of `FSDP`, along
            the largest of its axes that their number divides (fully sharded data parallelism). Otherwise, and where a
            leaf has no such axis, every device holds the whole.
    """
    count = mesh.shape[FSDP]

    def spec(leaf: Any) -> PartitionSpec:
        axes = [axis for axis, side in enumerate(leaf.shape) if side % count == 0]
        if not sharded or count == 1 or math.prod(leaf.shape) < LEAST_DIVIDED or not axes:
            return PartitionSpec()
        largest = max(axes, key=lambda axis: leaf.shape[axis])
        return PartitionSpec(*(FSDP if axis == largest else None for axis in range(largest + 1)))

    return jax.tree.map(spec, tree)


def divided_axis(spec: PartitionSpec) -> int | None:
    """The axis of a leaf that is divided among the devices of `FSDP`; None where each holds the whole.

    Args:
        spec: Where the leaf lies, from `parameter_specs`.
    """
    return next((axis for axis, name in enumerate(spec) if name == FSDP), None)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Divide a batch among all devices; each process passes its own part of the batch, in the order of processes."""
    sharding = NamedSharding(mesh, PartitionSpec(DEVICES))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )
