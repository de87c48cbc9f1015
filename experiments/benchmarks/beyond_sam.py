"""What the additions of the small model to Segment Anything cost: its time beside the model without them.

    python -m experiments.benchmarks.beyond_sam [--rounds 7]

Figures: in the README, with the machine they were taken on.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import tyro

from experiments.benchmarks.timing import Contestants, print_summaries, summarise, time_in_turns
from sam_jax.data.framing import Framing
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.prompts import make_prompts
from sam_jax.models import TINY, Model, SamConfig, init_variables

LACKING = "like SAM"
CONFIGS: dict[str, SamConfig] = {LACKING: replace(TINY, fine=None), "with additions": TINY}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare the small model with what it is without its additions."""

    rounds: int = 7
    """How often each task is timed."""


def encoding(model: Model) -> Callable[[], Any]:
    """A function that encodes one image."""
    frame = model.config.image_encoder.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (1, *frame, 3), np.uint8)
    return lambda: jax.block_until_ready(embed_images(model, pixels, np.array([frame])))


def decoding(model: Model, prompts: int) -> Callable[[], Any]:
    """A function that decodes clicks on one image, from its embedding to low-resolution masks."""
    frame = model.config.image_encoder.image_size
    embedding = encoding(model)()
    clicks = np.random.default_rng(1).uniform(0, min(frame), (prompts, 1, 2)).astype(np.float32)
    labels = np.ones((prompts, 1), np.int32)
    made = make_prompts(Framing(frame, frame, frame), point_coords=clicks, point_labels=labels)
    return lambda: jax.block_until_ready(
        predict_masks(model, embedding, made, multimask_output=True)
    )


def compare(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Summaries of every task."""
    models = {
        name: Model(config, jax.device_put(init_variables(config)))
        for name, config in CONFIGS.items()
    }
    tasks: dict[str, Contestants] = {
        "encode": {name: encoding(model) for name, model in models.items()},
        "decode 1 prompt": {name: decoding(model, 1) for name, model in models.items()},
        "decode 64 prompts": {name: decoding(model, 64) for name, model in models.items()},
    }
    summaries = {}
    for task, contestants in tasks.items():
        summaries[task] = summarise(time_in_turns(contestants, rounds), LACKING)
        print_summaries({task: summaries[task]}, LACKING)
    return summaries


def main() -> None:
    """Measure and print."""
    print(json.dumps(compare(tyro.cli(Options).rounds)))


if __name__ == "__main__":
    main()
