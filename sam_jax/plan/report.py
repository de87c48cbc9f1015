"""A plan in lines of text."""

import math
from collections.abc import Iterator

from sam_jax.messages import count
from sam_jax.plan.planning import Plan, ProgramPlan
from sam_jax.plan.programs import Request
from sam_jax.plan.roofline import find_duration

_ON_COUNTS = {
    "tpu": "not compiled, so from counts: pip install 'sam-jax[plan]' brings the compiler for TPUs",
    "gpu": "from counts: without a GPU, nothing compiles for one",
}
_THINGS = {"decode": "prompts"}


def describe(request: Request, plan: Plan) -> Iterator[str]:
    """The lines of a plan.

    Args:
        request: What was planned.
        plan: Its plan.
    """
    yield _title(request)
    if plan.fits is None:
        yield _ON_COUNTS[plan.topology.platform]
    for run in plan.programs:
        yield ""
        yield from _describe_program(plan, run)
    yield ""
    yield from _describe_times(request, plan)


def _title(request: Request) -> str:
    topology, config = request.topology, request.config
    title = f"{request.part} on {topology.name}, {count(topology.size, 'chip')}"
    if request.part != "train":
        compute = config.execution.compute
        return f"{title}, {compute.dtype if compute else 'float32'}"
    execution = config.execution
    share = config.data.batch_size // topology.size
    title += f": {count(config.data.batch_size, 'image')} a step, {share} on each chip"
    if execution.micro_batches > 1:
        title += f" in {execution.micro_batches} micro-batches"
    remat = ", remat" if execution.compute and execution.compute.remat else ""
    over = f" over {execution.sharded_over}" if execution.sharded_over else ""
    return f"{title}, parameters {execution.parameters}{over}{remat}"


def _describe_program(plan: Plan, run: ProgramPlan) -> Iterator[str]:
    compiled, chip = run.compiled, plan.topology.chip
    if compiled is None:
        yield f"{run.name}: at least {_memory(run.held)} of each chip, for arguments alone"
    else:
        kept = ", kept from before" if plan.was_kept else ""
        yield f"{run.name}: memory of each chip (compiled in {compiled.seconds:.0f} s{kept})"
    if compiled and compiled.memory is not None:
        for kind, size in compiled.memory.items():
            yield _row(kind, _memory(size))
        of = f" of {_memory(chip.memory)}: fits" if chip else ""
        yield _row("in all", f"{_memory(sum(compiled.memory.values()))}{of}")
    elif compiled and compiled.shortage:
        needed, available = compiled.shortage
        yield _row("arguments", _memory(run.held))
        yield _row("intermediate results", _memory(needed))
        yield _row("does not fit", f"{_memory(available)} is what a program can have in all")


def _describe_times(request: Request, plan: Plan) -> Iterator[str]:
    runs = plan.programs
    flops = sum(run.calls * run.work.flops for run in runs)
    recomputed = sum(run.calls * run.work.recomputed for run in runs)
    moved = sum(run.calls * run.moved for run in runs)
    received = sum(run.calls * run.work.received for run in runs)
    compiled = [run.compiled for run in runs if run.compiled]
    is_measured = bool(compiled) and all(c.traffic is not None for c in compiled)
    touched = sum(run.calls * run.work.touched for run in runs)
    least, most = "", ""
    if not is_measured:
        least, most = "at least ", f", {_amount(touched, 'B')} if no product stays in the chip"
    again = f", {_amount(recomputed, 'FLOP')} of it computed again" if recomputed else ""
    amounts = (
        ("arithmetic", _amount(flops, "FLOP") + again),
        ("memory", f"{least}{_amount(moved, 'B')}{most}"),
        ("network", _amount(received, "B")),
    )
    times = plan.roofline
    things = _THINGS.get(request.part, "images")
    yield f"each chip, while all do {count(plan.items, things[:-1], things)}:"
    for (what, amount), seconds in zip(amounts, times or (None,) * 3, strict=True):
        took = "" if seconds is None else f": {_time(seconds)} at the published peak"
        yield _row(what, f"{amount}{took}")
    if loops := sum(run.work.open_loops for run in runs):
        yield f"{count(loops, 'loop')} of unknown length counted as one turn"
    if times is None or plan.most_per_second is None or plan.topology.chip is None:
        return
    yield f"at most {plan.most_per_second:,.1f} {things}/s: the {times.bound} is what binds"
    if request.part == "train":
        steps = request.config.steps
        days, hours = find_duration(times.seconds, steps, plan.topology.size)
        yield f"{count(steps, 'step')}: at least {days:,.2f} days, {hours:,.0f} chip-hours"
    yield f"peaks: {' '.join(plan.topology.chip.sources)}"


def _memory(size: float) -> str:
    exponent = min(3, max(1, int(math.log2(max(1.0, abs(size)))) // 10))
    return f"{size / (1 << 10 * exponent):.2f} {('KiB', 'MiB', 'GiB')[exponent - 1]}"


def _amount(number: float, unit: str) -> str:
    exponent = min(5, max(0, int(math.log10(max(1.0, number))) // 3))
    return f"{number / 10 ** (3 * exponent):.4g} {('', 'k', 'M', 'G', 'T', 'P')[exponent]}{unit}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _row(name: str, text: str) -> str:
    return f"  {name:<22}{text}"
