"""`sam-jax engine`: the steps of the data engine beside annotating."""

from dataclasses import dataclass

from tyro.conf import OmitSubcommandPrefixes

from sam_jax.cli.engine_detector import Detect, Prefill


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The steps of the data engine beside annotating: a detector that learns from masks, and pre-filled photos.

    Example: sam-jax engine detect photos/annotations.sqlite --output runs/detector
    """

    step: OmitSubcommandPrefixes[Detect | Prefill]
    """Step to take."""

    def run(self) -> None:
        """Take the step."""
        self.step.run()
