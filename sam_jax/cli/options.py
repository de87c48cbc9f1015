"""Options that several sub-commands share, and how lists are written: with commas, as one word.

A list of words would take the argument that follows it on the command line, too.
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

UNSET = ""
"""Hint of an option whose description says what happens without it."""


def _read_size(words: list[str]) -> int | tuple[int, int]:
    sides = [int(side) for side in words[0].split(",")]
    match sides:
        case [side]:
            return side
        case [height, width]:
            return height, width
    raise ValueError(f"a size is SIDE, as in 512, or H,W, as in 384,512, not {words[0]}")


ImageSize = Annotated[
    int | tuple[int, int] | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="SIDE or H,W",
        instance_from_str=_read_size,
        is_instance=lambda value: value is None or isinstance(value, (int, tuple)),
        str_from_instance=lambda size: [str(size)],
    ),
    arg(help_behavior_hint=UNSET),
]
"""Size of the model's input in pixels: a side, or height and width; None for the checkpoint's own."""

Names = Annotated[
    tuple[str, ...],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="A,B,...",
        instance_from_str=lambda words: tuple(name for name in words[0].split(",") if name),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda names: [",".join(names)],
    ),
]
"""Several names in one word."""

Checkpoint = Annotated[Path, arg(metavar="C", help_behavior_hint=UNSET)]
"""Weights; `DEFAULT_CHECKPOINT` for those that come with the package."""

DEFAULT_CHECKPOINT = Path("default")
"""What `sam_jax.checkpoints.SHIPPED` is called; that module takes long to import."""
