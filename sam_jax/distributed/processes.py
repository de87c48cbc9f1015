"""One program in several processes: starting together, agreeing, and exchanging data."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.distributed import global_state
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sam_jax.types import InputError

HEARTBEAT_SECONDS = 15
"""Time without a sign of life after which a process counts as dead, and the others are ended."""
ADDRESS, COUNT, RANK = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_PATIENCE_MS = 600_000
"""Time that a process that has failed has for the others to notice."""


def join_processes() -> None:
    """Join the other processes of this run. It must be called before anything touches a device.

    On Cloud TPU, Slurm, Kubernetes and Open MPI, nothing needs to be set. Elsewhere the environment variables
    JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID say who takes part.

    Raises:
        InputError: The environment does not say who takes part, or the others cannot be reached.
    """
    count, rank = os.environ.get(COUNT), os.environ.get(RANK)
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count),
            process_id=None if rank is None else int(rank),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"cannot start together with other processes: {error}; set {ADDRESS} to host:port of the first process, "
            f"{COUNT} to how many there are, and {RANK} to 0, 1, ... on each"
        ) from error


def largest_of_processes(number: int) -> int:
    """The largest of the processes' numbers; all processes have to call this together."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.array(number, np.int32))))


def make_vote(mesh: Mesh) -> Callable[[int], jax.Array]:
    """A function that has the devices find the largest of the processes' numbers behind the work that they have to do.

    All processes have to call it together; none has to wait for it.

    Args:
        mesh: The devices, from `device_mesh`.
    """
    divided = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
    here = sum(device.process_index == jax.process_index() for device in mesh.devices.flat)

    def vote(number: int) -> jax.Array:
        numbers = np.full(here, number, np.int32)
        return largest(jax.make_array_from_process_local_data(divided, numbers))

    return vote


def wait_for_all() -> None:
    """Return when all processes have called this."""
    largest_of_processes(0)


def gather_texts(text: str) -> list[str]:
    """The text of each process, in their order; all processes have to call this together."""
    if jax.process_count() == 1:
        return [text]
    encoded = np.frombuffer(text.encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array(len(encoded))))
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(encoded)] = encoded
    texts = np.asarray(multihost_utils.process_allgather(padded))
    return [
        row[:length].tobytes().decode() for row, length in zip(texts, lengths.tolist(), strict=True)
    ]


def broadcast_text(text: str) -> str:
    """The text of the first process; all processes have to call this together."""
    return gather_texts(text)[0]


class GaveUpError(Exception):
    """Another process has given up what all processes were at together."""


class Meeting:
    """Where threads of all processes wait for each other, beside what the main threads and the devices do.

    A process that fails gives up, and the others learn of it instead of waiting for it in vain. A process that has died
    ends them all, by JAX's own heartbeat.

    Args:
        times: How often the processes wait for each other in each thing that they are at.
    """

    def __init__(self, times: int) -> None:
        self._times = times
        self._begun, self._met = 0, times

    def begin(self) -> None:
        """Begin something; all processes begin the same things in the same order."""
        self._begun, self._met = self._begun + 1, 0

    def wait(self, timeout_ms: int) -> None:
        """Return when all processes wait.

        Raises:
            GaveUpError: Another process will not come.
            JaxRuntimeError: The time is over.
        """
        self._meet(timeout_ms, has_failed=False)

    def give_up(self) -> None:
        """Come to where the others wait, or will, only to say that this process has failed."""
        with contextlib.suppress(jax.errors.JaxRuntimeError, GaveUpError):
            self._meet(_PATIENCE_MS, has_failed=True)

    def _meet(self, timeout_ms: int, *, has_failed: bool) -> None:
        if jax.process_count() == 1 or self._met == self._times:
            return
        place = f"sam_jax/meeting/{self._begun}/{self._met}"
        met, self._met = self._met, self._times
        client = global_state.client
        assert client is not None
        if has_failed:
            client.key_value_set(f"{place}/failed/{jax.process_index()}", "")
        client.wait_at_barrier(place, timeout_ms)
        if client.key_value_dir_get(f"{place}/failed/"):
            raise GaveUpError
        self._met = met + 1


def fetch_tree(tree: Any) -> Any:
    """Whole arrays in the memory of this machine, wherever the parts lie; all processes have to call this together."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)
