"""`sam-jax engine`: the steps of the data engine beside annotating."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitSubcommandPrefixes, subcommand

from sam_jax.cli.engine_check import Check
from sam_jax.cli.engine_detector import Detect, Prefill
from sam_jax.cli.engine_generate import Generate
from sam_jax.cli.engine_versions import Retrain, Status, Use


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The steps of the data engine beside annotating: new versions of the model, a detector, and masks made ahead.

    Example: sam-jax engine status photos/annotations.sqlite
    """

    step: OmitSubcommandPrefixes[
        Annotated[Retrain, subcommand("train")] | Use | Status | Detect | Prefill | Generate | Check
    ]
    """Step to take."""

    def run(self) -> None:
        """Take the step."""
        self.step.run()
