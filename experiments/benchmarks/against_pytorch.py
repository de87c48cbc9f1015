"""Speed and memory beside official PyTorch and `transformers`, same random weights, float32, on this machine's CPU.

    python -m experiments.benchmarks.against_pytorch [--variant tiny] [--rounds 5] [--memory]

Figures: in the README, with the machine they were taken on.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import skimage.data
import torch
import tyro
from PIL import Image

import sam_jax
from experiments.benchmarks.memory import peak_memory
from experiments.benchmarks.timing import (
    Contestants,
    print_summaries,
    summarise,
    time_in_turns,
)
from experiments.official import segment_anything
from experiments.reference import hugging_face_model, official_model
from sam_jax.data.framing import Framing
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompts import make_prompts
from sam_jax.models import TINY, VIT_B, Model, SamConfig, init_variables

OURS = "sam_jax"
OFFICIAL = "official PyTorch"
TRANSFORMERS = "transformers"
VARIANTS = {"vit_b": VIT_B, "tiny": replace(TINY, fine=None)}
PHOTO_SIZE = (1200, 1800)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare with PyTorch."""

    variant: Literal["vit_b", "tiny"] = "vit_b"
    """Whose sizes to take."""
    rounds: int = 5
    """How often each task is timed."""
    memory: bool = False
    """Measure the peak memory of encoding instead, each implementation in a process of its own."""
    memory_of: Literal["sam_jax", "official PyTorch", "transformers"] | None = None
    """Encode once with this one and print the process's peak memory in MB."""


def make_model(config: SamConfig) -> tuple[Any, sam_jax.Model]:
    """The official model and ours with its weights, by way of a file."""
    official = official_model(config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "official.pth"
        torch.save(official.state_dict(), path)
        return official, sam_jax.load(path)


def encoding(config: SamConfig, name: str) -> Callable[[], object]:
    """A function that encodes one image with one of the implementations."""
    frame = config.image_encoder.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (1, *frame, 3), np.uint8)
    for_torch = torch.randn(1, 3, *frame)
    if name == OURS:
        model = Model(config, jax.device_put(init_variables(config)))
        return lambda: embed_images(model, pixels, np.array([frame])).block_until_ready()
    encoder: Any = (
        official_model(config).image_encoder
        if name == OFFICIAL
        else hugging_face_model(config).vision_encoder
    )
    return torch.no_grad()(lambda: encoder(for_torch))


def decoding(official: Any, model: sam_jax.Model, prompts: int) -> Contestants:
    """Functions that decode clicks on one image, from its embedding to low-resolution masks."""
    config = model.config
    frame, width = config.image_encoder.image_size, config.prompt_encoder.width
    draw = np.random.default_rng(0)
    clicks = draw.uniform(0, min(frame), (prompts, 1, 2)).astype(np.float32)
    labels = np.ones((prompts, 1), np.int32)
    embedding = draw.standard_normal((1, *config.image_encoder.grid, width), np.float32)
    ours = make_prompts(Framing(frame, frame, frame), point_coords=clicks, point_labels=labels)
    device_embedding = jax.numpy.asarray(embedding)
    for_torch = torch.from_numpy(embedding).permute(0, 3, 1, 2)
    points = (torch.from_numpy(clicks), torch.from_numpy(labels))

    @torch.no_grad()
    def run_official() -> object:
        sparse, dense = official.prompt_encoder(points=points, boxes=None, masks=None)
        return official.mask_decoder(
            image_embeddings=for_torch,
            image_pe=official.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )

    def run_ours() -> object:
        return jax.block_until_ready(
            predict_masks(model, device_embedding, ours, multimask_output=True)
        )

    return {OURS: run_ours, OFFICIAL: run_official}


def predicting(official: Any, model: sam_jax.Model) -> Contestants:
    """Functions from a photo and a click to masks of the photo's size."""
    height, width = PHOTO_SIZE
    photo = np.asarray(Image.fromarray(skimage.data.coffee()).resize((width, height)))
    click = {"point_coords": np.array([[900, 540]]), "point_labels": np.array([1])}

    def contestant(predictor: Any) -> Callable[[], object]:
        def run() -> object:
            predictor.set_image(photo)
            return predictor.predict(**click)

        return run

    return {
        OURS: contestant(sam_jax.SamPredictor(model)),
        OFFICIAL: contestant(segment_anything.SamPredictor(official)),
    }


def compare_speed(options: Options) -> dict[str, Any]:
    """Summaries of every task."""
    config = VARIANTS[options.variant]
    official, model = make_model(config)
    tasks: dict[str, Contestants] = {
        "encode": {name: encoding(config, name) for name in (OURS, OFFICIAL, TRANSFORMERS)},
        "decode 1 prompt": decoding(official, model, 1),
        "decode 64 prompts": decoding(official, model, 64),
        "photo and click to masks": predicting(official, model),
    }
    summaries = {}
    for task, contestants in tasks.items():
        summaries[task] = summarise(time_in_turns(contestants, options.rounds), OURS)
        print_summaries({task: summaries[task]}, OURS)
    return summaries


def compare_memory(options: Options) -> dict[str, int]:
    """Peak resident memory in MB of processes that load the weights and encode one image."""
    command = [sys.executable, "-m", "experiments.benchmarks.against_pytorch"]
    peaks = {}
    for name in (OURS, OFFICIAL, TRANSFORMERS):
        arguments = ["--variant", options.variant, "--memory-of", name]
        output = subprocess.run(command + arguments, check=True, capture_output=True, text=True)
        peaks[name] = int(output.stdout.split()[-1])
        print(f"{name}: {peaks[name]} MB", flush=True)
    return peaks


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    if options.memory_of:
        encoding(VARIANTS[options.variant], options.memory_of)()
        print(peak_memory())
    elif options.memory:
        print(json.dumps(compare_memory(options)))
    else:
        print(f"{options.variant}, float32, {torch.get_num_threads()} threads", flush=True)
        print(json.dumps(compare_speed(options)))


if __name__ == "__main__":
    main()
