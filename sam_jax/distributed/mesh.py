"""The mesh of all devices, and where arrays lie on it."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DEVICES = "devices"
"""The one axis of the mesh: the images of a batch are divided along it, and parameters too if they are sharded."""


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of devices in a row; the default is all devices of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (DEVICES,))


def parameter_specs(tree: Any, mesh: Mesh, *, sharded: bool) -> Any:
    """Where each leaf of a training state lies: a tree of `PartitionSpec`.

    Args:
        tree: Parameters, the optimiser's state, or both; leaves need only a shape.
        mesh: The devices, from `device_mesh`.
        sharded: Whether each leaf is divided along the largest of its axes that the number of devices divides (fully
            sharded data parallelism, FSDP). Otherwise, and where a leaf has no such axis, every device holds the whole.
    """
    count = mesh.size

    def spec(leaf: Any) -> PartitionSpec:
        axes = [axis for axis, side in enumerate(leaf.shape) if side % count == 0 and side > 0]
        if not sharded or count == 1 or not axes:
            return PartitionSpec()
        largest = max(axes, key=lambda axis: leaf.shape[axis])
        return PartitionSpec(*(DEVICES if axis == largest else None for axis in range(largest + 1)))

    return jax.tree.map(spec, tree)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Divide a batch among all devices; each process passes its own part of the batch, in the order of processes."""
    sharding = NamedSharding(mesh, PartitionSpec(DEVICES))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )
