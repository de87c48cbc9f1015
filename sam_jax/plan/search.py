"""Which settings of a training run fit a topology, and which of those promises most."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from sam_jax.plan.planning import Plan
from sam_jax.plan.programs import Request, suited_compute
from sam_jax.types import InputError


class Candidate(NamedTuple):
    """Settings that were tried.

    Attributes:
        request: The request with these settings.
        plan: What it needs.
    """

    request: Request
    plan: Plan

    @property
    def settings(self) -> str:
        """The settings that differ between candidates, in words."""
        execution = self.request.config.execution
        assert execution.compute is not None
        remat = "remat" if execution.compute.remat else "no remat"
        return f"{execution.parameters}, {remat}, micro_batches {execution.micro_batches}"


def search(request: Request, plan: Callable[[Request], Plan]) -> Iterator[Candidate]:
    """Try micro-batches, remat and where parameters lie: the fastest first, and more micro-batches only if less fail.

    Args:
        request: The request to vary, of a training step.
        plan: Plans a request, with a compiler.

    Yields:
        Each candidate when its plan is known.

    Raises:
        InputError: The batch cannot be divided over the chips.
    """
    config = request.config
    share, rest = divmod(config.data.batch_size, request.topology.size)
    numbers = [n for n in range(1, share + 1) if share % n == 0]
    if rest:
        numbers = [1]  # which says what is wrong
    compute = suited_compute(config, request.topology, training=True)
    parameters = ("replicated", "sharded") if request.topology.size > 1 else ("replicated",)
    for where, remat in product(parameters, (False, True)):
        for micro_batches in numbers:
            execution = replace(
                config.execution,
                compute=replace(compute, remat=remat),
                micro_batches=micro_batches,
                parameters=where,
            )
            tried = replace(request, config=replace(config, execution=execution))
            candidate = Candidate(tried, plan(tried))
            yield candidate
            if candidate.plan.fits:
                break


def choose(candidates: list[Candidate]) -> Candidate:
    """The candidate that fits and can be fastest; of equal ones, that with most room left.

    Raises:
        InputError: None fits.
    """
    fitting = [candidate for candidate in candidates if candidate.plan.fits]
    if not fitting:
        raise InputError(
            "nothing that was tried fits these chips: take more of them, or a smaller batch_size"
        )

    def rank(candidate: Candidate) -> tuple[float, float]:
        memory = (run.compiled.memory for run in candidate.plan.programs if run.compiled)
        used = sum(sum(kinds.values()) for kinds in memory if kinds)
        speed = candidate.plan.most_per_second
        # Without published peaks, fewer operations are faster.
        work = sum(run.calls * run.work.flops for run in candidate.plan.programs)
        return (speed if speed is not None else -work, -used)

    return max(fitting, key=rank)
