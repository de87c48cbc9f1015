"""`sam-jax finetune`: fine-tune existing weights on your own data."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from sam_jax.cli.decoder_options import DecoderTraining
from sam_jax.cli.options import DEFAULT_CHECKPOINT, UNSET, Checkpoint

if TYPE_CHECKING:
    from sam_jax.training.config import TrainConfig

HELD_BACK = 10
"""Interval of held-back images, and the smallest number of images, where --hold-back is not given."""

PICTURE = "gain.png"
"""Name of the picture of masks before and after."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tune a model's mask decoder and prompt encoder on your own images and masks.

    The image encoder is frozen, so every image is encoded only once. At the end, photos that were held back are
    measured with the model before and after, and gain.png shows masks of both.

    Ctrl-C, SIGTERM and --max-seconds save and stop. The same command goes on from there, also after a crash.

    Example: sam-jax finetune nuclei --checkpoint sam_vit_b_01ec64.pth --output runs/nuclei
    """

    data: Annotated[Positional[str], arg(metavar="DATA")]
    """Photos with .json files as in SA-1B, a COCO or LVIS .json, a folder with images/ and labels/ or masks/, TFDS."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of the run, for weights, training states, metrics and pictures."""
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT
    """Weights to start from: an official .pth, a Hugging Face folder, a .safetensors, or `default`, as shipped."""
    hold_back: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Every Nth image, from the first on, is held out of training, to measure; 10 by default, for 10 images or more."""
    cache_embeddings: bool = True
    """Cache the image embeddings on disk while the encoder is frozen: 4 MB an image at the official size."""
    embeddings: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Folder of cached image embeddings, which runs can share; the default is a subfolder of the run's folder."""
    max_seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint=UNSET)] = None
    """Time in seconds after which the run is saved and stopped."""
    multi_host: FlagCreatePairsOff[bool] = False
    """This is one of several processes that train together (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""
    restarts: Annotated[int, arg(metavar="N")] = 0
    """How often to start again by itself, from the newest training state, when this or another process was lost."""
    training: Annotated[OmitArgPrefixes[DecoderTraining], arg(name="")] = field(
        default_factory=DecoderTraining
    )

    def run(self) -> None:
        """Fine-tune the model, and print where the result is."""
        started = time.perf_counter()
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.frozen_data import freeze_data
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.cli.training_command import is_first_process, train_and_report
        from sam_jax.distributed import join_processes, wait_for_all

        check_output_folder(self.output)
        keep_compiled_programs()
        if self.multi_host:  # before anything looks at the devices
            join_processes()
        data = freeze_data(self.data, self.output)
        config = self._make_config(data)
        ending = train_and_report(config, self.output, self.max_seconds, started, self.embeddings)
        if ending.name == "FINISHED" and is_first_process():
            self._measure(data, config)
        wait_for_all()  # the others' end would be taken for a loss

    def _measure(self, data: str, config: "TrainConfig") -> None:
        """Print what the held-back photos say of the model before and after."""
        from sam_jax.data.sources import open_source
        from sam_jax.data.subset import hold_out
        from sam_jax.evaluation.held_back import measure_gain
        from sam_jax.inference.loading import load
        from sam_jax.messages import LifeSigns
        from sam_jax.training.config import Stored
        from sam_jax.training.loop import WEIGHTS

        (source,) = config.data.sources
        every = source.hold_back if isinstance(source, Stored) else 0
        if not every:
            print("no photo was held back to measure; --hold-back 5 holds back every fifth")
            return
        with LifeSigns() as signs:
            signs.begin("measuring photos that were held back, before and after")
            size = config.model.image_encoder.image_size
            before = load(self.checkpoint, image_size=size)
            after = load(self.output / WEIGHTS)
            held_back = hold_out(open_source(data), every)[1]
            gain = measure_gain(before, after, held_back, self.output / PICTURE)
        if gain is None:
            print("the photos that were held back have no objects to measure")
            return
        print(gain.describe())
        print(f"truth, before and after in {self.output / PICTURE}")

    def _make_config(self, data: str) -> "TrainConfig":
        from sam_jax.data.sources import open_source
        from sam_jax.training.finetuning import make_finetuning_run

        hold_back = self.hold_back
        if hold_back is None:
            hold_back = HELD_BACK if len(open_source(data)) >= HELD_BACK else 0
        settings = self.training.make_config(
            hold_back=hold_back, cache_embeddings=self.cache_embeddings
        )
        return make_finetuning_run(data, str(self.checkpoint), settings)
