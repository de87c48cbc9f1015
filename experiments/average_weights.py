"""The mean of weights that come from one another: often better than each (Wortsman et al. 2022, "Model soups").

    python -m experiments.average_weights runs/tiny_9/weights.safetensors runs/tiny_11/weights.safetensors \
        runs/mean.safetensors

Both are of the same model with the same size of input.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import tyro
from tyro.conf import Positional

from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write the mean of two files of weights of the same model."""

    one: Annotated[Positional[Path], tyro.conf.arg(metavar="ONE")]
    """Weights."""
    other: Annotated[Positional[Path], tyro.conf.arg(metavar="OTHER")]
    """Weights for the same size of input."""
    output: Annotated[Positional[Path], tyro.conf.arg(metavar="MEAN")]
    """The file to write."""


def main(options: Options) -> None:
    """Read, average, write."""
    try:
        config, one = load_checkpoint(options.one)
        other_config, other = load_checkpoint(options.other)
        if config != other_config:
            raise InputError(f"{options.one} and {options.other} are of different models")
        mean = jax.tree.map(lambda a, b: (a + b) / 2, one, other)
        save_checkpoint(options.output, config, mean)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main(tyro.cli(Options))
