"""Several devices and machines: the mesh, where arrays lie on it, and several processes as one run."""

from sam_jax.distributed.mesh import (
    DEVICES,
    device_mesh,
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
    "DEVICES",
    "GaveUpError",
    "Meeting",
    "broadcast_text",
    "check_shared",
    "device_mesh",
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
