"""The sub-commands of `sam-jax`, and reading one with its options."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

import sam_jax
from sam_jax.cli.annotate import Annotate
from sam_jax.cli.convert import Convert
from sam_jax.cli.dataset import Dataset
from sam_jax.cli.download import Download
from sam_jax.cli.engine import Engine
from sam_jax.cli.evaluate import Evaluate
from sam_jax.cli.export import Export
from sam_jax.cli.finetune import Finetune
from sam_jax.cli.generate import Generate
from sam_jax.cli.info import Info
from sam_jax.cli.plan import Plan
from sam_jax.cli.predict import Predict
from sam_jax.cli.train import Train
from sam_jax.storage import locate

Command = (
    Predict
    | Generate
    | Annotate
    | Engine
    | Train
    | Finetune
    | Plan
    | Evaluate
    | Dataset
    | Convert
    | Export
    | Download
    | Info
)

DESCRIPTION = """Segment Anything in JAX: prompt a photo and get masks, or have all of it masked.

Exit codes: 0, all went well; 1, a part of the work was done, and the last line says what stopped the rest; 2, nothing
was done, and the last line says what to mend; 130, interrupted by Ctrl-C.

`sam-jax --version` prints the version, and `sam-jax COMMAND --help` the options of a command."""


def read_command(arguments: Sequence[str]) -> Command:
    """Read the command line.

    Raises:
        SystemExit: Help or the version was asked for (code 0), or an option does not exist (code 2).
    """
    if [*arguments] == ["--version"]:
        print(f"sam-jax {sam_jax.__version__}")
        raise SystemExit(0)
    if [*arguments[:1]] == ["train"] and [*arguments[1:2]] not in ([], ["-h"], ["--help"]):
        # The options of a training run depend on its config, so the command reads them itself.
        return Train(config=arguments[1], options=tuple(arguments[2:]))
    return tyro.cli(Command, prog="sam-jax", description=DESCRIPTION, args=arguments)


def locate_places(options: Any) -> Any:
    """A command, or a part of its options, with the paths that lead into buckets as `BucketPath`.

    Raises:
        InputError: A path is an address that is neither gs:// nor s3://.
    """
    changed = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, Path):
            changed[field.name] = locate(value)
        elif dataclasses.is_dataclass(value):
            changed[field.name] = locate_places(value)
    return dataclasses.replace(options, **changed) if changed else options
