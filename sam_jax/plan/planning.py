"""A plan: what a program needs and does on each chip, by counting and compiling, kept on the disk once it is known."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import platformdirs

from sam_jax.distributed.chips import Topology
from sam_jax.distributed.counting import Work, count_arguments, count_work
from sam_jax.plan.compilation import (
    COMPILER,
    Compiled,
    Shortage,
    compile_program,
    find_devices,
    has_compiler,
)
from sam_jax.plan.programs import Program, Request, count_items, make_programs
from sam_jax.plan.roofline import Roofline, find_roofline
from sam_jax.storage import make_folder, write_json
from sam_jax.training.config_differences import describe_config

ENDING = ".program"
"""Ending of files of compiled programs."""
_FORM = 2
"""Number of the form of kept plans; it goes up when what is counted changes."""
_PARTS_OF_PROGRAMS = (
    "types.py",
    "data/framing.py",
    "distributed/mesh.py",
    "ops",
    "models",
    "losses",
    "inference",
    "training",
)
"""What a traced program depends on, beside its settings and what is installed."""


@dataclass(frozen=True, kw_only=True)
class ProgramPlan:
    """What one program does on each chip.

    Attributes:
        name: Name of the program.
        calls: How often it runs.
        held: Bytes of its arguments.
        work: What it does in one run, counted.
        compiled: What compiling told of it; None where there is no compiler.
    """

    name: str
    calls: int
    held: float
    work: Work
    compiled: Compiled | None

    @property
    def moved(self) -> float:
        """Bytes between chip and memory in one run: of the compiled program, or at least its arguments, read once."""
        if self.compiled is None or self.compiled.traffic is None:
            return self.held
        return self.compiled.traffic

    @property
    def fits(self) -> bool | None:
        """Whether it finds room on the chip; None where that is not known."""
        return None if self.compiled is None else self.compiled.shortage is None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a request needs.

    Attributes:
        topology: The chips.
        items: Images, or prompts, that all chips are done with after all runs of the programs.
        programs: The programs.
        was_kept: Whether the plan was read from the disk.
    """

    topology: Topology
    items: int
    programs: tuple[ProgramPlan, ...]
    was_kept: bool = False

    @property
    def roofline(self) -> Roofline | None:
        """Least times of all runs; None for chips whose peaks are not known."""
        chip = self.topology.chip
        if chip is None:
            return None
        runs = self.programs
        return find_roofline(
            chip,
            sum(run.calls * run.work.flops for run in runs),
            sum(run.calls * run.moved for run in runs),
            sum(run.calls * run.work.received for run in runs),
        )

    @property
    def most_per_second(self) -> float | None:
        """The most items that all chips do in a second; None for chips whose peaks are not known."""
        times = self.roofline
        return None if times is None else self.items / times.seconds

    @property
    def fits(self) -> bool | None:
        """Whether each program finds room; None where that is not known."""
        known = [run.fits for run in self.programs]
        return None if None in known else all(known)


def make_plan(
    request: Request,
    say: Callable[[str], None],
    *,
    folder: Path | None = None,
    keep: Path | None = None,
) -> Plan:
    """Plan a request: from the disk, or by tracing, and compiling where there is a compiler.

    Args:
        request: What to plan.
        say: Is told what is being done.
        folder: Folder of plans that are kept; the default lies in the user's cache folder.
        keep: Folder for the compiled programs; None to keep none. With a folder, programs are compiled anew.

    Raises:
        InputError: The settings contradict each other or the topology, or there is no such slice.
        RunError: The compiler failed, or the disk is full.
    """
    folder = plans_folder() if folder is None else folder
    file = folder / f"{_digest(request)}.json"
    if keep is None and (known := _read(file)) is not None:
        return _plan(request, known, was_kept=True)
    devices = find_devices(request.topology) if has_compiler(request.topology) else None
    runs = tuple(
        _look_at(program, request.topology, is_compiled=devices is not None, say=say, keep=keep)
        for program in make_programs(request, devices)
    )
    make_folder(folder)
    write_json(file, [asdict(run) for run in runs])
    return _plan(request, runs, was_kept=False)


def plans_folder() -> Path:
    """The folder of plans that are kept, in the user's cache folder."""
    return platformdirs.user_cache_path("sam_jax") / "plans"


def _look_at(
    program: Program,
    topology: Topology,
    *,
    is_compiled: bool,
    say: Callable[[str], None],
    keep: Path | None,
) -> ProgramPlan:
    say(f"tracing the program `{program.name}` for {topology.name}")
    started = time.perf_counter()
    traced = program.trace()
    work = count_work(traced.jaxpr, program.devices)
    held = count_arguments(traced.jaxpr) if program.held is None else program.held
    compiled = None
    if is_compiled:
        seconds = time.perf_counter() - started
        say(f"compiling it, traced after {seconds:.0f} s; large models take 5 to 20 minutes")
        if keep is not None:
            make_folder(keep)
        file = None if keep is None else keep / f"{program.name}{ENDING}"
        compiled = compile_program(traced, topology.platform, file)
    return ProgramPlan(
        name=program.name, calls=program.calls, held=held, work=work, compiled=compiled
    )


def _plan(request: Request, runs: tuple[ProgramPlan, ...], *, was_kept: bool) -> Plan:
    return Plan(
        topology=request.topology, items=count_items(request), programs=runs, was_kept=was_kept
    )


def _read(file: Path) -> tuple[ProgramPlan, ...] | None:
    try:
        return tuple(_restore(run) for run in json.loads(file.read_text()))
    except (OSError, ValueError, TypeError, LookupError):  # there is none, or it is damaged
        return None


def _restore(run: dict[str, Any]) -> ProgramPlan:
    compiled = run["compiled"]
    if compiled is not None:
        seconds, memory, shortage, traffic, loops = compiled
        shortage = None if shortage is None else Shortage(*shortage)
        compiled = Compiled(seconds, memory, shortage, traffic, loops)
    return ProgramPlan(**{**run, "work": Work(*run["work"]), "compiled": compiled})


def _digest(request: Request) -> str:
    """What a plan depends on: settings, topology, versions of what compiles, and the code that is compiled."""
    settings = {
        name: getattr(request, name) for name in ("part", "images", "prompts", "points_per_side")
    }
    config = describe_config(request.config)
    del config["reporting"]
    config["data"] = {name: config["data"][name] for name in ("batch_size", "masks_per_image")}
    depends = {
        "form": _FORM,
        "kind": type(request.config).__name__,
        "config": config,
        "topology": request.topology.name,
        "versions": [_version(name) for name in ("jax", "jaxlib", "flax", "optax", COMPILER)],
        "is_compiled": has_compiler(request.topology),
        "code": _digest_code(),
        **settings,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _digest_code() -> str:
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in _PARTS_OF_PROGRAMS:
        place = root / part
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
