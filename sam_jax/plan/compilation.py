"""Compiling ahead of time for chips that are not here: TPUs by libtpu, CPUs by this machine's own."""

import importlib.util
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import serialize_executable, topologies
from jax.stages import Traced

from sam_jax.distributed.chips import Topology
from sam_jax.distributed.kept_programs import save_program
from sam_jax.plan.traffic import count_traffic
from sam_jax.types import InputError, RunError

COMPILER = "libtpu"
"""Import name of the compiler for TPUs."""
_ON_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
}
"""What libtpu would otherwise ask a machine of Google's for."""
_CORES_TOGETHER = {"v4": {"chip_config_name": "megacore"}}
"""Of chips whose two cores run a program together, one device each, as on real ones."""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SHORTAGES = (
    re.compile(
        r"memory required for [^(]*\((?P<needed>[\d.]+)(?P<unit>[KMGT]?)\) exceeds available HBM "
        r"\((?P<available>[\d.]+)(?P<of>[KMGT]?)\)"
    ),
    re.compile(
        r"[Uu]sed (?P<needed>[\d.]+)(?P<unit>[KMGT]?) of (?P<available>[\d.]+)(?P<of>[KMGT]?) hbm"
    ),
)


class Shortage(NamedTuple):
    """What a compiler says that finds no room.

    Attributes:
        needed: Bytes that intermediate results need.
        available: Bytes that a program can have on the chip.
    """

    needed: float
    available: float


class Compiled(NamedTuple):
    """What compiling a program tells of it.

    Attributes:
        seconds: Time that it took.
        memory: Bytes on each chip by kind: arguments, results, those that take the arguments' place, intermediate
            results, code; None where they find no room.
        shortage: What is missing; None where all fits.
        traffic: Bytes between each chip and its memory, see `count_traffic`; None where nothing was compiled.
        open_loops: Number of loops in `traffic` whose turns cannot be told.
    """

    seconds: float
    memory: dict[str, float] | None
    shortage: Shortage | None
    traffic: float | None
    open_loops: int


def has_compiler(topology: Topology) -> bool:
    """Whether programs can be compiled for these chips on this machine."""
    if topology.platform == "tpu":
        return importlib.util.find_spec(COMPILER) is not None
    return topology.platform == "cpu"


def find_devices(topology: Topology) -> Sequence[Any]:
    """The devices to compile for, one for each chip, none of which has to exist.

    Args:
        topology: Chips for which there is a compiler.

    Raises:
        InputError: There is no such slice, or this machine has fewer devices.
    """
    if topology.platform == "cpu":
        devices = jax.devices("cpu")
        if len(devices) < topology.size:
            raise InputError(
                f"topology {topology.name}: JAX shows {len(devices)} devices here; it makes more of a CPU with "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={topology.size}"
            )
        return devices[: topology.size]
    for name, value in _ON_NO_TPU.items():
        os.environ.setdefault(name, value)
    options = _CORES_TOGETHER.get(topology.name.partition(":")[0], {})
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, **options
        )
    except Exception as error:  # of several kinds, by what libtpu and JAX find wrong
        raise InputError(f"topology {topology.name}: {str(error).splitlines()[0]}") from error
    return described.devices


def compile_program(traced: Traced, platform: str, keep: Path | None = None) -> Compiled:
    """Compile a program.

    Args:
        traced: The program, traced for the devices of `find_devices`.
        platform: Platform of JAX.
        keep: File for the compiled program; None to keep none.

    Raises:
        RunError: The compiler failed, but for lack of memory on the chip.
    """
    started = time.perf_counter()
    try:
        executable = traced.lower(lowering_platforms=(platform,)).compile()
    except jax.errors.JaxRuntimeError as error:
        shortage = read_shortage(str(error))
        if shortage is None:
            line = str(error).splitlines()[0]
            raise RunError(f"the compiler failed: {line}") from error
        return Compiled(time.perf_counter() - started, None, shortage, None, 0)
    seconds = time.perf_counter() - started
    if keep is not None:
        save_program(keep, serialize_executable.serialize(executable))
    traffic = count_traffic(executable.as_text() or "")
    return Compiled(seconds, _memory_by_kind(executable), None, traffic.bytes, traffic.open_loops)


def read_shortage(message: str) -> Shortage | None:
    """Read from a compiler's error how much memory is missing; None if it is about something else.

    >>> message = "memory required for HLO temporaries (42.02G) exceeds available HBM (15.75G)"
    >>> round(read_shortage(message).needed / 2**30, 2)
    42.02
    """
    for pattern in _SHORTAGES:
        if found := pattern.search(message):
            return Shortage(
                float(found["needed"]) * _UNITS[found["unit"]],
                float(found["available"]) * _UNITS[found["of"]],
            )
    return None


def _memory_by_kind(executable: Any) -> dict[str, float]:
    sizes = executable.memory_analysis()
    return {
        "arguments": float(sizes.argument_size_in_bytes),
        "results": float(sizes.output_size_in_bytes),
        "in place of arguments": -float(sizes.alias_size_in_bytes),
        "intermediate results": float(sizes.temp_size_in_bytes),
        "code": float(sizes.generated_code_size_in_bytes),
    }
