"""Several devices and machines: the mesh, where arrays lie on it, and several processes as one run."""

from sam_jax.distributed.mesh import (
    DEVICES,
    device_mesh,
    parameter_specs,
    place_batch,
)
from sam_jax.distributed.processes import (
    any_process,
    fetch_tree,
    gather_texts,
    join_processes,
    wait_for_all,
)
from sam_jax.distributed.workers import spread

__all__ = [
    "DEVICES",
    "any_process",
    "device_mesh",
    "fetch_tree",
    "gather_texts",
    "join_processes",
    "parameter_specs",
    "place_batch",
    "spread",
    "wait_for_all",
]
