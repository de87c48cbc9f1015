"""The time that a chip needs at least: for its arithmetic, for its memory, for its network.

Source: [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785), Roofline.
"""

from typing import NamedTuple

from sam_jax.distributed.chips import Chip

_HOUR, _DAY = 3600.0, 86_400.0


class Roofline(NamedTuple):
    """Least times in seconds, if nothing else held the chip up.

    Attributes:
        compute: Time of the arithmetic.
        memory: Time of reading and writing the chip's memory.
        network: Time of what reaches the chip over the network.
    """

    compute: float
    memory: float
    network: float

    @property
    def seconds(self) -> float:
        """The longest of the three: even if all go on at once, it takes that long."""
        return max(self)

    @property
    def bound(self) -> str:
        """What takes longest: compute, memory or network."""
        return max(self._fields, key=lambda name: getattr(self, name))


def find_roofline(chip: Chip, flops: float, moved: float, received: float) -> Roofline:
    """The least times of some work on a chip.

    Args:
        chip: The chip.
        flops: Floating-point operations.
        moved: Bytes between chip and memory.
        received: Bytes that reach the chip over the network.
    """
    return Roofline(flops / chip.flops, moved / chip.bandwidth, received / chip.network)


class Duration(NamedTuple):
    """How long a run takes at least.

    Attributes:
        days: Days of all steps.
        chip_hours: Hours of all chips together.
    """

    days: float
    chip_hours: float


def find_duration(seconds_per_step: float, steps: int, chips: int) -> Duration:
    """How long all steps take.

    Args:
        seconds_per_step: Time of a step.
        steps: Number of steps.
        chips: Number of chips.
    """
    seconds = seconds_per_step * steps
    return Duration(seconds / _DAY, seconds / _HOUR * chips)
