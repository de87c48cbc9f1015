"""The order in which settings are tried, and which is chosen; a table stands for the compiler."""

from dataclasses import replace

import pytest

from sam_jax.configs import debug
from sam_jax.distributed.chips import read_topology
from sam_jax.distributed.counting import Work
from sam_jax.plan.compilation import Compiled, Shortage
from sam_jax.plan.planning import Plan, ProgramPlan
from sam_jax.plan.programs import Request
from sam_jax.plan.search import choose, search
from sam_jax.types import InputError

REQUEST = Request(
    config=replace(debug.config, data=replace(debug.config.data, batch_size=32)),
    topology=read_topology("v5e:2x4"),
)


def plan_by(needed):
    """Plans whose memory in GB a function gives of parameters, remat and micro-batches; remat takes a third longer."""

    def plan(request):
        execution = request.config.execution
        remat = execution.compute.remat
        memory = float(needed(execution.parameters, remat, execution.micro_batches))
        shortage = None if memory < 16 else Shortage(1e9 * memory, 16e9)
        compiled = Compiled(1.0, {"arguments": 1e9 * memory}, shortage, 1e9, 0)
        work = Work(flops=4e12 if remat else 3e12)
        run = ProgramPlan(name="train", calls=1, held=1e9, work=work, compiled=compiled)
        return Plan(topology=request.topology, items=32, programs=(run,))

    return plan


def test_more_micro_batches_are_tried_only_if_fewer_do_not_fit():
    def needed(parameters, remat, micro_batches):
        return (6 if parameters == "sharded" else 14) + (4 if remat else 40) / micro_batches

    tried = list(search(REQUEST, plan_by(needed)))
    assert [(one.settings, one.plan.fits) for one in tried] == [
        ("replicated, no remat, micro_batches 1", False),
        ("replicated, no remat, micro_batches 2", False),
        ("replicated, no remat, micro_batches 4", False),
        ("replicated, remat, micro_batches 1", False),
        ("replicated, remat, micro_batches 2", False),
        ("replicated, remat, micro_batches 4", True),
        ("sharded, no remat, micro_batches 1", False),
        ("sharded, no remat, micro_batches 2", False),
        ("sharded, no remat, micro_batches 4", False),
        ("sharded, remat, micro_batches 1", True),
    ]
    # As fast as the other that fits, and smaller.
    assert choose(tried).settings == "sharded, remat, micro_batches 1"


def test_the_fastest_of_those_that_fit_is_chosen():
    tried = list(search(REQUEST, plan_by(lambda parameters, remat, micro_batches: 9)))
    assert len(tried) == 4
    assert choose(tried).settings.startswith("replicated, no remat")


def test_where_nothing_fits():
    tried = list(search(REQUEST, plan_by(lambda parameters, remat, micro_batches: 20)))
    assert len(tried) == 12
    with pytest.raises(InputError, match="nothing that was tried fits these chips"):
        choose(tried)
