"""Several devices and machines: the mesh, where arrays lie on it, and several processes as one run."""

from sam_jax.distributed.mesh import (
    DATA,
    DEVICES,
    FSDP,
    check_divisible,
    device_mesh,
    divided_axis,
    parameter_specs,
    place_batch,
)
from sam_jax.distributed.processes import (
    GaveUpError,
    Meeting,
    broadcast_text,
    fetch_tree,
    gather_texts,
    join_processes,
    largest_of_processes,
    make_vote,
    wait_for_all,
)
from sam_jax.distributed.shared_folder import check_shared
from sam_jax.distributed.workers import spread

__all__ = [
    "DATA",
    "DEVICES",
    "FSDP",
    "GaveUpError",
    "Meeting",
    "broadcast_text",
    "check_divisible",
    "check_shared",
    "device_mesh",
    "divided_axis",
    "fetch_tree",
    "gather_texts",
    "join_processes",
    "largest_of_processes",
    "make_vote",
    "parameter_specs",
    "place_batch",
    "spread",
    "wait_for_all",
]
