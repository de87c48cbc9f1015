"""How much of what the chips could do at most a run uses."""

from typing import Any

from jax.sharding import Mesh

from sam_jax.distributed.chips import find_chip
from sam_jax.distributed.counting import count_work
from sam_jax.training.metrics import RATE
from sam_jax.training.step import TrainStep

UTILISATION = "flop_utilisation"
"""Name of the share of the published peak, among the metrics."""


class Utilisation:
    """The share of the chips' published bfloat16 peak that the model's products and convolutions take.

    What remat computes again is not counted: it is work, but no progress (MFU of
    [Chowdhery et al. 2022](https://arxiv.org/abs/2204.02311), appendix B).

    Args:
        mesh: The devices; where their peak is not known, nothing is counted.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._devices = mesh.size
        self._chip = find_chip(mesh.devices.flat[0].device_kind)
        self._flops: float | None = None

    def look_at(self, step: TrainStep, state: Any, batch: Any) -> None:
        """Count the operations of a step, once.

        Args:
            step: The training step, jitted. It need not be traced anew when it is called with the same arguments.
            state: A state.
            batch: A batch.
        """
        if self._chip is not None and self._flops is None:
            traced = step.trace(state, batch)  # pyright: ignore[reportFunctionMemberAccess]
            work = count_work(traced.jaxpr, self._devices)
            self._flops = work.flops - work.recomputed

    def take(self, metrics: dict[str, float]) -> dict[str, float]:
        """The metric of a rate of steps; none where it is not known."""
        if self._chip is None or self._flops is None or not metrics[RATE]:
            return {}
        return {UTILISATION: self._flops * metrics[RATE] / self._chip.flops}
