"""`sam-jax finetune`: training on, from existing weights, on data of one's own."""

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

if TYPE_CHECKING:
    from sam_jax.training.config import TrainConfig

SMALLEST_BATCH = 4
"""Where it is not given."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Train a model's mask decoder and prompt encoder on, on your own images and masks.

    The image encoder stays as it is, so every image is encoded once. Ctrl-C, SIGTERM and --max-seconds save and stop;
    the same command goes on from there, and so it does after a crash.

    Example: sam-jax finetune nuclei --checkpoint sam_vit_b_01ec64.pth --output runs/nuclei --hold-back 5
    """

    data: Annotated[Positional[str], arg(metavar="DATA")]
    """Photos with SA-1B's .json beside them, a COCO or LVIS .json, images/ with labels/ or masks/, or TFDS."""
    checkpoint: Annotated[Path, arg(metavar="C")]
    """Weights to start from: an official .pth, a Hugging Face folder, or our .safetensors."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of the run: weights, checkpoints, metrics, pictures."""
    steps: Annotated[int, arg(metavar="N")] = 1000
    """How long to train."""
    rate: Annotated[float, arg(metavar="R")] = 1e-4
    """Highest learning rate, after a tenth of the steps; it falls to 0 at the end."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Images a step, a multiple of the number of devices; the default is the smallest from 4."""
    masks: Annotated[int, arg(metavar="N")] = 8
    """Masks an image, drawn anew each time."""
    rounds: Annotated[int, arg(metavar="N")] = 4
    """Prompts for a mask: a click or a box, then clicks where the answer before was wrong."""
    image_size: Annotated[int | tuple[int, int] | None, arg(metavar="SIDE | H W")] = None
    """Size of the model's input in pixels; the default is the checkpoint's; smaller ones take less time and memory."""
    hold_back: Annotated[int, arg(metavar="N")] = 0
    """Keep every Nth image, from the first on, out of training, for measuring; 0 keeps none."""
    train_encoder: FlagCreatePairsOff[bool] = False
    """Train the image encoder, too, which takes far more time and memory."""
    cache_embeddings: bool = True
    """Keep what the frozen encoder makes of the images on disk: 4 MB an image at the official size."""
    embeddings: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for that, which runs can share; the default is in the run's."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of all that is drawn."""
    max_seconds: Annotated[float | None, arg(metavar="S")] = None
    """Save and stop after so many seconds."""

    def run(self) -> None:
        """Train."""
        started = time.perf_counter()
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.training_command import train_and_report

        config = self._make_config()
        keep_compiled_programs()
        train_and_report(config, self.output, self.max_seconds, started, self.embeddings)

    def _make_config(self) -> "TrainConfig":
        import jax

        from sam_jax.checkpoints import read_config
        from sam_jax.models import default_compute
        from sam_jax.training.config import (
            DataConfig,
            Execution,
            Reporting,
            Stored,
            TrainConfig,
        )
        from sam_jax.training.interaction import Interaction
        from sam_jax.training.optimiser import CosineDecay, OptimiserConfig

        devices = jax.device_count()
        batch_size = self.batch_size
        if batch_size is None:
            batch_size = math.ceil(SMALLEST_BATCH / devices) * devices
        model = read_config(self.checkpoint, image_size=self.image_size)
        return TrainConfig(
            model=model,
            data=DataConfig(
                sources=(Stored(path=self.data, hold_back=self.hold_back),),
                batch_size=batch_size,
                masks_per_image=self.masks,
                seed=self.seed,
            ),
            steps=self.steps,
            optimiser=OptimiserConfig(
                rate=self.rate, warmup_steps=self.steps // 10, decay=CosineDecay()
            ),
            interaction=Interaction(
                iterations=self.rounds,
                refine_iterations=min(2, self.rounds // 4),
                box_jitter_limit=max(model.image_encoder.image_size) / 1024 * 20,
            ),
            start_from=str(self.checkpoint),
            frozen=() if self.train_encoder else ("image_encoder/*",),
            seed=self.seed,
            cache_embeddings=self.cache_embeddings and not self.train_encoder,
            # One image at a time on each device: for small machines.
            execution=Execution(
                compute=dataclasses.replace(
                    default_compute(training=True), remat=self.train_encoder
                ),
                micro_batches=max(1, batch_size // devices),
            ),
            reporting=Reporting(pictures_every=100, states_every=100),
        )
