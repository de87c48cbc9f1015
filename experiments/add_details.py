"""Gives a model what `sam_jax.TINY` has beyond official models: details, click maps, geodesic distances, mask scoring.

    python -m experiments.add_details runs/plain.safetensors runs/detailed.safetensors --side 256

What the model computes stays the same until it is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from flax.traverse_util import flatten_dict, unflatten_dict
from tyro.conf import Positional

from experiments.lessons import STAGES, Stage
from sam_jax.checkpoints import load_checkpoint, save_checkpoint
from sam_jax.checkpoints.recognition import with_image_size
from sam_jax.models import SamConfig, init_variables
from sam_jax.types import InputError, Variables

INTO_THE_MODEL = (
    "image_encoder/details/to_tokens",
    "image_encoder/details/eighth_out",
    "image_encoder/details/quarter_out",
    "image_encoder/details/step_costs",
    "mask_decoder/click_maps_tokens",
    "mask_decoder/click_maps_quarter",
    "mask_decoder/geodesics_tokens",
    "mask_decoder/geodesics_quarter",
    "mask_decoder/mask_scoring/mlp/layers_2",
)
"""The layers whose results are added to what the model had before; they start at zero."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Add what official models lack."""

    plain: Annotated[Positional[Path], tyro.conf.arg(metavar="PLAIN")]
    """The weights of a tiny model that lacks some of it."""
    detailed: Annotated[Positional[Path], tyro.conf.arg(metavar="DETAILED")]
    """The .safetensors file to write."""
    side: int | None = None
    """Of the model's input in pixels; as it was if not given."""
    up_to: Stage = "mask_scoring"
    """Each has what those before it have."""
    seed: int = 0
    """Of the new weights."""


def add_details(variables: Variables, config: SamConfig, *, seed: int) -> Variables:
    """Weights for a model, from those of one that is a part of it."""
    leaves: dict[str, Any] = flatten_dict(jax.device_get(init_variables(config, seed)), sep="/")
    had = flatten_dict(variables, sep="/")
    if leaves.keys() <= had.keys():
        raise InputError("the model has all of that already")
    for path, leaf in leaves.items():
        if any(f"/{layer}/" in path for layer in INTO_THE_MODEL):
            leaves[path] = np.zeros_like(leaf)
    return unflatten_dict(leaves | had, sep="/")


def main() -> None:
    """Read and write."""
    options = tyro.cli(Options)
    plain, variables = load_checkpoint(options.plain, image_size=options.side)
    config = with_image_size(STAGES[options.up_to], plain.image_encoder.image_size)
    save_checkpoint(options.detailed, config, add_details(variables, config, seed=options.seed))
    print(f"wrote {options.detailed}")


if __name__ == "__main__":
    main()
