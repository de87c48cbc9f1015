"""Timing contestants in turns, so that a machine's changing mood meets all of them."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

Contestants = Mapping[str, Callable[[], object]]


def time_in_turns(contestants: Contestants, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for counted in [False] + [True] * rounds:
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summarise(seconds: Mapping[str, list[float]], ours: str) -> dict[str, dict[str, float]]:
    """Median seconds, and the median over rounds of how many times faster `ours` was in the same round."""
    mine = np.array(seconds[ours])
    return {
        name: {
            "seconds": float(np.median(values)),
            "ratio": float(np.median(np.array(values) / mine)),
        }
        for name, values in seconds.items()
    }


def print_summaries(summaries: Mapping[str, dict[str, dict[str, float]]], ours: str) -> None:
    """One row for each task and contestant."""
    table = Table("task", "implementation", "median", f"times {ours}", box=None)
    for task, summary in summaries.items():
        for name, figures in summary.items():
            ratio = "" if name == ours else f"{figures['ratio']:.2f}"
            table.add_row(task, name, _name_duration(figures["seconds"]), ratio)
    Console(markup=False, highlight=False).print(table)


def _name_duration(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"
