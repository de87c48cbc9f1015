"""`sam-jax engine`: the steps of the data engine beside annotating."""

from dataclasses import dataclass

from tyro.conf import OmitSubcommandPrefixes

from sam_jax.cli.engine_check import Check
from sam_jax.cli.engine_detector import Detect, Prefill
from sam_jax.cli.engine_generate import Generate


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The steps of the data engine beside annotating: training a detector, pre-filling photos, masking all others.

    Example: sam-jax engine detect photos/annotations.sqlite --output runs/detector
    """

    step: OmitSubcommandPrefixes[Detect | Prefill | Generate | Check]
    """Step to take."""

    def run(self) -> None:
        """Take the step."""
        self.step.run()
