"""Counts of what the filters of the automatic generator drop, to explain a run that ends without a mask."""

import threading
from collections.abc import Iterable
from typing import Any

from sam_jax.messages import count


class Tally:
    """Numbers of masks that a generator was given and of those that each of its filters dropped; threads share it.

    Attributes:
        answers: Number of masks that the model gave.
        dropped: Number of masks that each filter dropped, by the name of the generator's argument.
        highest_iou: Highest predicted IoU among all answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers = 0
        self.dropped: dict[str, int] = {}
        self.highest_iou = float("-inf")

    def add(self, answers: int = 0, highest_iou: float = float("-inf"), **dropped: int) -> None:
        """Count the masks of a batch.

        Args:
            answers: Number of masks that the model gave.
            highest_iou: Highest predicted IoU among them.
            dropped: Number of masks that each filter dropped.
        """
        with self._lock:
            self.answers += answers
            self.highest_iou = max(self.highest_iou, highest_iou)
            for name, number in dropped.items():
                self.dropped[name] = self.dropped.get(name, 0) + number


def explain_nothing(tallies: Iterable[Tally], thresholds: dict[str, Any]) -> str:
    """Say which filters took all masks: what to lower.

    Args:
        tallies: Counts of all generators of a run.
        thresholds: Values of the generators' arguments.
    """
    whole = Tally()
    for tally in tallies:
        whole.add(tally.answers, tally.highest_iou, **tally.dropped)
    parts = []
    for name, number in whole.dropped.items():
        if number == 0:
            continue
        setting = f"--{name.replace('_', '-')}"
        if name in thresholds:
            setting += f" {thresholds[name]:g}"
        highest = f" (the highest is {whole.highest_iou:.2f})" if name == "pred_iou_thresh" else ""
        parts.append(f"{setting} dropped {number:,}{highest}")
    return f"no masks: of {count(whole.answers, 'mask')}, {', '.join(parts) or 'none was found'}"
