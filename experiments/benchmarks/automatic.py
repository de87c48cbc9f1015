"""Masks for everything beside the official generator: same weights, same photo, float32, on this machine's CPU.

    python -m experiments.benchmarks.automatic [--variant vit_b] [--rounds 3] [--memory] [--parts]

A photo of 1200x1800, 32x32 points, the official defaults but for the thresholds, which are for large trained models.
With random weights (ViT-B) scores mean nothing, so that of predicted IoU is set where as large a share of masks passes
as `--survivors` says, and any stability will do; with the shipped weights, less their details, which official PyTorch
lacks (tiny), both are 0.4.
"""

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import jax
import numpy as np
import skimage.data
import torch
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table

import sam_jax
import sam_jax.inference.automatic
import sam_jax.inference.prompt_batches
from experiments.benchmarks.memory import peak_memory
from experiments.benchmarks.timing import print_summaries, summarise, time_in_turns
from experiments.official import segment_anything
from experiments.reference import official_model, shipped_as_sam
from sam_jax.checkpoints import save_checkpoint
from sam_jax.inference.crops import make_point_grid
from sam_jax.models import TINY, VIT_B

OURS, OFFICIAL = "sam_jax", "official PyTorch"
PHOTO_SIZE = (1200, 1800)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare automatic masks with the official generator's."""

    variant: Literal["tiny", "vit_b"] = "tiny"
    """The shipped weights, or random ones of ViT-B's sizes."""
    rounds: int = 3
    """How often each is timed."""
    survivors: float = 0.1
    """Share of masks that pass the threshold of predicted IoU, with random weights."""
    memory: bool = False
    """Measure the peak memory instead, each implementation in a process of its own."""
    memory_of: Literal["sam_jax", "official PyTorch"] | None = None
    """Generate once with this one, which alone is loaded, and print the process's peak memory in MB."""
    weights: Path | None = None
    """A .pth to use instead of writing one."""
    threshold: float | None = None
    """Of predicted IoU, instead of finding one."""
    parts: bool = False
    """Show where each of the two spends its time, instead."""


def make_photo() -> np.ndarray:
    """A photo of a cup of coffee."""
    height, width = PHOTO_SIZE
    return np.asarray(Image.fromarray(skimage.data.coffee()).resize((width, height)))


def write_official(options: Options, path: Path) -> None:
    """Write weights in the official format."""
    if options.variant == "tiny":
        save_checkpoint(path, *shipped_as_sam())
    else:
        torch.save(official_model(VIT_B).state_dict(), path)


def make_generator(
    options: Options, path: Path, config: Any, threshold: float, name: str
) -> Callable[[], list]:
    """A function that finds all masks of the photo with one of the implementations."""
    photo = make_photo()
    stability = 0.4 if options.variant == "tiny" else 0.0
    arguments: dict[str, Any] = {
        "pred_iou_thresh": threshold,
        "stability_score_thresh": stability,
    }
    if name == OURS:
        ours = sam_jax.SamAutomaticMaskGenerator(sam_jax.load(path), **arguments)
        return lambda: ours.generate(photo)
    official = official_model(config)
    official.load_state_dict(torch.load(path))
    reference: Any = official.eval()
    theirs = segment_anything.SamAutomaticMaskGenerator(reference, **arguments)
    return lambda: theirs.generate(photo)


def find_threshold(options: Options, path: Path) -> float:
    """Predicted IoU that such a share of the answers to a coarse grid is above; 0.4 for trained weights."""
    if options.variant == "tiny":
        return 0.4
    predictor = sam_jax.SamPredictor(sam_jax.load(path))
    photo = make_photo()
    predictor.set_image(photo)
    height, width, _ = photo.shape
    points = make_point_grid(8)[:, None] * np.array([width, height])
    _, iou, _ = predictor.predict_batch(points, np.ones((64, 1), np.int32))
    return float(np.quantile(iou, 1 - options.survivors))


def compare_memory(options: Options, path: Path, threshold: float) -> dict[str, int]:
    """Peak resident memory in MB of processes that load the weights and find the masks once."""
    command = [sys.executable, "-m", "experiments.benchmarks.automatic"]
    command += ["--variant", options.variant, "--weights", str(path), "--threshold", str(threshold)]
    peaks = {}
    for name in (OURS, OFFICIAL):
        output = subprocess.run(
            [*command, "--memory-of", name], check=True, capture_output=True, text=True
        )
        peaks[name] = int(output.stdout.split()[-1])
        print(f"{name}: {peaks[name]} MB", flush=True)
    return peaks


OUR_PARTS = (
    ("encode the image", sam_jax.inference.automatic, "embed_images"),
    ("decode prompts", sam_jax.inference.prompt_batches, "predict_masks"),
    ("upsample, count, box", sam_jax.inference.automatic, "draw_stable_masks"),
    ("run lengths", sam_jax.inference.automatic, "encode_packed"),
    ("NMS of boxes", sam_jax.inference.automatic, "box_nms"),
)


def official_parts() -> tuple[tuple[str, Any, str], ...]:
    """The same of the official generator; what isn't named is its filtering and copying."""
    generator, sam = segment_anything.automatic_mask_generator, segment_anything.modeling.Sam
    return (
        ("encode the image", segment_anything.SamPredictor, "set_image"),
        ("decode prompts", segment_anything.modeling.PromptEncoder, "forward"),
        ("decode prompts", segment_anything.modeling.MaskDecoder, "forward"),
        ("upsample, count, box", sam, "postprocess_masks"),
        ("upsample, count, box", generator, "calculate_stability_score"),
        ("upsample, count, box", generator, "batched_mask_to_box"),
        ("run lengths", generator, "mask_to_rle_pytorch"),
        ("NMS of boxes", generator, "batched_nms"),
    )


def time_parts(
    generate: Callable[[], list], parts: tuple[tuple[str, Any, str], ...]
) -> dict[str, float]:
    """Seconds by part; each part is waited for, which without this table it would not be."""
    generate()
    seconds: dict[str, float] = {name: 0.0 for name, _, _ in parts}

    def wrap(name: str, function: Callable) -> Callable:
        def timed(*arguments: Any, **more: Any) -> Any:
            started = time.perf_counter()
            result = jax.block_until_ready(function(*arguments, **more))
            seconds[name] += time.perf_counter() - started
            return result

        return timed

    with contextlib.ExitStack() as stack:
        for name, owner, attribute in parts:
            timed = wrap(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, timed))
        started = time.perf_counter()
        generate()
        total = time.perf_counter() - started
    return seconds | {"all else": total - sum(seconds.values()), "in all": total}


def show_parts(ours: dict[str, float], official: dict[str, float]) -> None:
    """One row for each part."""
    table = Table("part", OURS, OFFICIAL, "times", box=None)
    for name, mine in ours.items():
        theirs = official[name]
        table.add_row(name, f"{mine:.2f} s", f"{theirs:.2f} s", f"{theirs / max(mine, 1e-3):.1f}")
    Console().print(table)


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    config = replace(TINY, fine=None) if options.variant == "tiny" else VIT_B
    if options.memory_of and options.weights and options.threshold is not None:
        make_generator(options, options.weights, config, options.threshold, options.memory_of)()
        print(peak_memory())
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "official.pth"
        write_official(options, path)
        threshold = find_threshold(options, path)
        if options.memory:
            print(json.dumps(compare_memory(options, path, threshold)))
            return
        contestants = {
            name: make_generator(options, path, config, threshold, name)
            for name in (OURS, OFFICIAL)
        }
    if options.parts:
        show_parts(
            time_parts(contestants[OURS], OUR_PARTS),
            time_parts(contestants[OFFICIAL], official_parts()),
        )
        return
    counts: dict[str, int] = {}

    def count(name: str) -> None:
        counts[name] = len(contestants[name]())

    turns = {name: functools.partial(count, name) for name in contestants}
    summary = summarise(time_in_turns(turns, options.rounds), OURS)
    print(f"{options.variant}, {torch.get_num_threads()} threads, masks found: {counts}")
    print_summaries({"everything in a photo": summary}, OURS)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
