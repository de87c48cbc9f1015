"""The program `sam-jax`: reads the arguments, runs the sub-command, and turns bad input into one line."""

import sys
from collections.abc import Sequence

import tyro

from sam_jax.cli.convert import Convert
from sam_jax.cli.dataset import Dataset
from sam_jax.cli.download import Download
from sam_jax.cli.info import Info
from sam_jax.cli.predict import Predict
from sam_jax.cli.train import Train

BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sam-jax` and return its exit code.

    Args:
        arguments: what follows the program's name; the default is what the process was started with.

    Raises:
        SystemExit: help was asked for (code 0), or an option does not exist (code 2).
    """
    try:
        command = tyro.cli(
            Predict | Train | Dataset | Convert | Download | Info,
            prog="sam-jax",
            description="Segment Anything in JAX: prompt a photo and get masks.",
            args=arguments,
        )
        return _run(command)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(command: Predict | Train | Dataset | Convert | Download | Info) -> int:
    from sam_jax.types import InputError

    try:
        command.run()
    except InputError as error:
        print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return BAD_INPUT
    return 0
