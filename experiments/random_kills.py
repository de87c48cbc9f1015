"""Kill random processes of a training run at random times, and compare with a run that nobody disturbs.

    python -m experiments.random_kills --kills 20

The run starts again with 2, 1, 4, 2, ... processes. Each time one of them is killed (SIGKILL) at a random time, and the
others have to end by themselves. What is compared at the end is the loss of every step, which depends on every
image seen and every click simulated up to it.
"""

import argparse
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sam_jax.storage import locate

CONFIG = """
from sam_jax.training.config import DataConfig, Execution, Reporting, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.models import ImageEncoderConfig, MaskDecoderConfig, PromptEncoderConfig, SamConfig

config = TrainConfig(
    model=SamConfig(
        image_encoder=ImageEncoderConfig(image_size=(32, 48), width=16, depth=1, num_heads=2, window_size=2,
                                         global_blocks=(), out_channels=16),
        prompt_encoder=PromptEncoderConfig(width=16),
        mask_decoder=MaskDecoderConfig(width=16, depth=1, num_heads=2, mlp_width=32, iou_head_depth=2,
                                       iou_head_width=16),
    ),
    data=DataConfig(sources=(Synthetic(seed=1, size=(64, 96), plain=1.0),), batch_size=4, masks_per_image=2),
    steps=STEPS,
    optimiser=OptimiserConfig(rate=1e-4, warmup_steps=2, decay=CosineDecay()),
    interaction=Interaction(iterations=1, refine_iterations=0),
    execution=Execution(parameters="sharded"),
    reporting=Reporting(metrics_every=1, pictures_every=0, states_every=2),
)
"""
COUNTS = (2, 1, 4)


def start(count: int, config: Path, output: str, folder: Path) -> list[subprocess.Popen[str]]:
    """Start a training run in several processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    several = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(count)}
    quick = {
        "XLA_FLAGS": "",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
    }
    options = ["--multi-host"] if count > 1 else []
    return [
        subprocess.Popen(
            [sys.executable, "-m", "sam_jax", "train", str(config), "--output", output, *options],
            env={**os.environ, **quick, **(several if count > 1 else {}), "JAX_PROCESS_ID": str(i)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(count)
    ]


def read_losses(output: str) -> dict[int, float]:
    """The loss of each step."""
    path = locate(output) / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    steps = [json.loads(line) for line in lines]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    return {line["step"]: line["loss"] for line in steps}


def list_states(output: str) -> set[str]:
    """Names of the training states that are there, or begun."""
    states = locate(output) / "states"
    return {path.name for path in states.iterdir()} if states.exists() else set()


def kill_one(count: int, config: Path, output: str, folder: Path, draw: random.Random) -> float:
    """Start, kill one, and return the seconds after which the last of the others had ended."""
    processes = start(count, config, output, folder)
    victim, began = draw.randrange(count), time.monotonic()
    if draw.random() < 0.25:  # while it starts
        time.sleep(draw.uniform(0, 20))
    else:  # while it trains
        before = list_states(output)
        while list_states(output) <= before and time.monotonic() - began < 120:
            time.sleep(0.1)
        time.sleep(draw.uniform(0, 4))
    processes[victim].send_signal(signal.SIGKILL)
    seconds = time.monotonic() - began
    killed, took = time.monotonic(), 0.0
    for rank, process in enumerate(processes):
        _, shown = process.communicate(timeout=300)
        if rank != victim:
            took = time.monotonic() - killed
            last = shown.splitlines()[-1] if shown else ""
            print(f"    process {rank}: code {process.returncode} after {took:.0f} s: {last}")
    print(
        f"{count} processes, {victim} killed after {seconds:.0f} s: {len(read_losses(output))} steps",
        flush=True,
    )
    return took


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="a new folder or gs:// place; a temporary one without it")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = options.output or name
        config = folder / "run.py"
        config.write_text(CONFIG.replace("STEPS", str(options.steps)))
        for process in start(1, config, f"{output}/undisturbed", folder):
            _, shown = process.communicate()
            assert process.returncode == 0, shown
        took = [
            kill_one(count, config, f"{output}/killed", folder, draw)
            for count in itertools.islice(itertools.cycle(COUNTS), options.kills)
        ]
        for process in start(2, config, f"{output}/killed", folder):
            _, shown = process.communicate()
            assert process.returncode == 0, shown
            print(shown.splitlines()[-1] if shown else "")
        wanted, got = (read_losses(f"{output}/{run}") for run in ("undisturbed", "killed"))
        assert wanted.keys() == got.keys()
        worst = max(abs(got[step] / wanted[step] - 1) for step in wanted)
        print(f"{options.kills} kills, {len(got)} steps: losses differ by at most {worst:.1e}")
        print(f"after a kill, the others had ended within {max(took):.0f} s")


if __name__ == "__main__":
    main()
