"""The driver of the recipe: runs the stages in order, and goes on where it stopped."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from experiments.tiny.first_weights import make_first_weights
from experiments.tiny.sources import make_sources
from experiments.tiny.stages import Stage
from sam_jax.checkpoints import convert_checkpoint, load_checkpoint, save_checkpoint
from sam_jax.cli.training_command import train_and_report
from sam_jax.models import SamConfig, init_variables
from sam_jax.training.config import DataConfig, Execution, Reporting, Stored, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.loop import WEIGHTS
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.types import Variables

BATCH_SIZE = 8
BOX_SHARE = 0.2
"""Share of first prompts that are boxes."""
BOX_JITTER_LIMIT = 20 / 1024
"""Largest error of a box's coordinate, as a share of the input's side (the paper's, at 1024 pixels)."""
ADDED = (
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
"""Layers whose results are added to what a model like SAM has; they start at zero."""


def run_recipe(
    stages: Sequence[Stage], folder: Path, *, data: Path, photos: Path, workers: int
) -> Path:
    """Train stage by stage; what is complete already is left as it is.

    Args:
        stages: Rows of the recipe.
        folder: Folder of the results: `NAME.safetensors` and a training folder for each stage, and the last weights,
            in float16, in `tiny.safetensors`.
        data: Folder of the data sets.
        photos: Folder that `experiments.tiny.photos` wrote.
        workers: Number of processes that draw and read pictures; with 0 that happens between the steps.

    Returns:
        The path of the last weights.

    Raises:
        InputError: The data are missing, or a stage has changed since its folder was begun.
        RunError: The disk is full, or the loss is not a finite number.
        KeyboardInterrupt: Ctrl-C; the state is saved.
        SystemExit: SIGTERM; likewise.
    """
    start = folder / "first_weights.safetensors"
    if not start.exists():
        folder.mkdir(parents=True, exist_ok=True)
        config = _model(stages[0])
        save_checkpoint(start, config, make_first_weights(config, seed=0))
    for number, stage in enumerate(stages):
        end = folder / f"{stage.name}.safetensors"
        if not end.exists():
            print(f"stage {number + 1} of {len(stages)}: {stage.name}", flush=True)
            sources = make_sources(stage.mixture, seed=number, data=data, photos=photos)
            config = make_config(stage, number, sources)
            execution = Execution(data_workers=workers)
            _run_stage(replace(config, execution=execution), start, end, stage.kept)
        start = end
    weights = folder / "tiny.safetensors"
    convert_checkpoint(start, weights, dtype="float16")
    return weights


def _run_stage(config: TrainConfig, start: Path, end: Path, kept: float) -> None:
    folder = end.with_suffix("")
    folder.mkdir(exist_ok=True)
    before, variables = load_checkpoint(start, image_size=config.model.image_encoder.image_size)
    if before != config.model:
        variables = add_layers(variables, config.model)
    first = folder / "start.safetensors"
    save_checkpoint(first, config.model, variables)
    began = time.perf_counter()
    train_and_report(replace(config, start_from=str(first)), folder, None, began)
    _, trained = load_checkpoint(folder / WEIGHTS)
    save_checkpoint(end, config.model, average(trained, variables, kept))


def _model(stage: Stage) -> SamConfig:
    return stage.model.with_image_size((stage.side, stage.side))


def add_layers(variables: Variables, config: SamConfig, seed: int = 0) -> Variables:
    """Weights of a larger model that computes what the smaller one did.

    Args:
        variables: Weights of a model that is a part of the larger one.
        config: Sizes of the larger model.
        seed: Seed of the new weights that do not start at zero.
    """
    leaves: dict[str, Any] = flatten_dict(jax.device_get(init_variables(config, seed)), sep="/")
    for path, leaf in leaves.items():
        if any(f"/{layer}/" in path for layer in ADDED):
            leaves[path] = np.zeros_like(leaf)
    return unflatten_dict(leaves | flatten_dict(variables, sep="/"), sep="/")


def average(trained: Variables, before: Variables, kept: float) -> Variables:
    """A weighted mean of two sets of weights of one model.

    Args:
        trained: Weights after a stage.
        before: Weights before it.
        kept: Share of the latter in the mean, between 0 and 1.
    """
    return jax.tree.map(lambda new, old: (1 - kept) * new + kept * old, trained, before)


def make_config(stage: Stage, seed: int, sources: tuple[Synthetic | Stored, ...]) -> TrainConfig:
    """The training run of a stage.

    Args:
        stage: Row of the recipe.
        seed: Seed of what is drawn about the pictures.
        sources: Sources of the pictures.
    """
    return TrainConfig(
        model=_model(stage),
        data=DataConfig(
            sources=sources,
            batch_size=BATCH_SIZE,
            masks_per_image=stage.masks,
            seed=seed,
        ),
        steps=stage.steps,
        optimiser=OptimiserConfig(
            method="muon",
            rate=stage.rate,
            warmup_steps=stage.warmup_steps,
            decay=CosineDecay(last_share=stage.last_rate),
            weight_decay=0.05,
            layer_decay=1.0,
            rate_factors=stage.rate_factors,
        ),
        interaction=Interaction(
            iterations=stage.iterations,
            refine_iterations=0,
            box_share=BOX_SHARE,
            box_jitter_limit=BOX_JITTER_LIMIT * stage.side,
            centre_share=stage.centre_share,
        ),
        reporting=Reporting(pictures_every=250, states_every=100),
    )
