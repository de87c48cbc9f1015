"""`sam-jax engine detect` and `sam-jax engine prefill`: the second stage of the data engine."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sam_jax.cli.options import UNSET


@dataclass(frozen=True, kw_only=True)
class Detect:
    """Train a detector of objects on the masks that people have made.

    It works on the image embeddings of the given weights, which stay as they are. Photos that are finished teach it
    best: in others, objects without a mask count as background. At the end, photos that were held back are measured.

    Example: sam-jax engine detect photos/annotations.sqlite --output runs/detector
    """

    data: Annotated[Positional[str], arg(metavar="DATA")]
    """Database of sam-jax annotate, or a data set in any other form that training reads."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of the run; the detector is DIR/weights.safetensors."""
    checkpoint: Annotated[Path | None, arg(metavar="C", help_behavior_hint=UNSET)] = None
    """Weights of the model that people work with: an official .pth, a Hugging Face folder, a .safetensors, or
    `default`. The default is the version that the database has in use."""
    steps: Annotated[int, arg(metavar="N")] = 600
    """Number of training steps."""
    rate: Annotated[float, arg(metavar="R")] = 1e-3
    """Highest learning rate."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Images a step, a multiple of the number of devices; the default is the smallest such number from 4 on."""
    hold_back: Annotated[int, arg(metavar="N")] = 5
    """Every Nth photo, from the first on, is held out of training, to measure; 0 for none. In a database, photos keep
    their numbers, so that those that are held out stay so."""
    enlargements: Annotated[int, arg(metavar="N")] = 1
    """How often boxes get a map twice as fine as the image embedding: 2 for objects of a few pixels."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of everything that is drawn at random."""
    max_seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint=UNSET)] = None
    """Time in seconds after which the run is saved and stopped."""

    def run(self) -> None:
        """Train the detector, and print where it is and what it finds."""
        started = time.perf_counter()
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.frozen_data import freeze_data
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.cli.training_command import train_and_report
        from sam_jax.data_engine.detecting import make_detection_config

        check_output_folder(self.output)
        keep_compiled_programs()
        checkpoint = self._choose_weights()
        data = freeze_data(self.data, self.output)
        config = make_detection_config(
            data,
            str(checkpoint),
            steps=self.steps,
            rate=self.rate,
            batch_size=self.batch_size,
            hold_back=self.hold_back,
            enlargements=self.enlargements,
            seed=self.seed,
        )
        ending = train_and_report(config, self.output, self.max_seconds, started)
        if ending.name == "FINISHED" and self.hold_back:
            self._measure(data, checkpoint)

    def _choose_weights(self) -> Path:
        from sam_jax.data.annotation_database import is_database
        from sam_jax.data_engine.versions import SHIPPED, choose_weights, open_existing

        if self.checkpoint is not None or not is_database(self.data):
            return self.checkpoint or SHIPPED
        with contextlib.closing(open_existing(self.data)) as database:
            return choose_weights(database, None)

    def _measure(self, data: str, checkpoint: Path) -> None:
        from sam_jax.data.sources import open_source
        from sam_jax.data.subset import hold_out
        from sam_jax.evaluation.box_scores import score_boxes
        from sam_jax.inference import load
        from sam_jax.inference.object_boxes import open_detector
        from sam_jax.messages import LifeSigns, count
        from sam_jax.training.loop import WEIGHTS

        with LifeSigns() as signs:
            signs.begin("measuring photos that were held back")
            model = load(checkpoint)
            detector = open_detector(self.output / WEIGHTS, model)
            scores = score_boxes(model, detector, hold_out(open_source(data), self.hold_back)[1])
        if scores is None:
            print("the photos that were held back have no objects to measure")
            return
        recall = ", ".join(f"AR@{most} {value or 0:.3f}" for most, value in scores.recall.items())
        print(
            f"{count(scores.objects, 'object')} of {count(scores.photos, 'photo')} that took no part in training: "
            f"AP {scores.precision['AP'] or 0:.3f}, AP50 {scores.precision['AP50'] or 0:.3f}, {recall}"
        )


@dataclass(frozen=True, kw_only=True)
class Prefill:
    """Pre-fill photos with masks of what a detector finds, for people to accept, correct or reject in sam-jax annotate.

    Photos that are finished, or that somebody has open, are left alone; others may be at work meanwhile.

    Example: sam-jax engine prefill photos --detector runs/detector/weights.safetensors
    """

    photos: Annotated[Positional[Path], arg(metavar="PHOTOS")]
    """Folder of the photos."""
    detector: Annotated[Path, arg(metavar="FILE")]
    """Detector that sam-jax engine detect has trained."""
    database: Annotated[str | None, arg(metavar="FILE or ADDRESS", help_behavior_hint=UNSET)] = None
    """Database of the masks: an SQLite file or an address. The default is PHOTOS/annotations.sqlite."""
    checkpoint: Annotated[Path | None, arg(metavar="C", help_behavior_hint=UNSET)] = None
    """Weights that answer the boxes, with the image encoder that the detector was trained with. The default is the
    version that the database has in use."""
    least_score: Annotated[float, arg(metavar="S")] = 0.3
    """Score of the detector, from 0 to 1, below which an object is left out."""
    pred_iou_thresh: Annotated[float | None, arg(metavar="T", help_behavior_hint=UNSET)] = None
    """Predicted IoU that a mask exceeds; the default is what suits the weights."""
    stability_score_thresh: Annotated[float | None, arg(metavar="T", help_behavior_hint=UNSET)] = (
        None
    )
    """Stability that a mask has at least; the default is what suits the weights."""

    def run(self) -> None:
        """Pre-fill the photos, and print how many masks they have got.

        Raises:
            InputError: An option is wrong, or there are no photos.
            RunError: Some photos could not be used.
        """
        import platformdirs

        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.progress_bar import photo_progress
        from sam_jax.data_engine.database import FILE_NAME, Database
        from sam_jax.data_engine.prefilling import PrefillConfig, prefill
        from sam_jax.data_engine.segmenter import Segmenter
        from sam_jax.data_engine.versions import choose_weights
        from sam_jax.data_engine.workplace import register_model, register_photos
        from sam_jax.inference import load
        from sam_jax.inference.object_boxes import open_detector
        from sam_jax.messages import LifeSigns, count, print_line
        from sam_jax.types import InputError, RunError

        if not self.photos.is_dir():
            raise InputError(f"no such folder: {self.photos}")
        config = PrefillConfig(
            least_score=self.least_score,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
        )
        keep_compiled_programs()
        database = Database(self.database or self.photos / FILE_NAME)
        try:
            with LifeSigns() as signs:
                checkpoint = choose_weights(database, self.checkpoint)
                signs.begin(f"loading the weights, {checkpoint}")
                model = load(checkpoint)
                detector = open_detector(self.detector, model)
                folder = platformdirs.user_cache_path("sam_jax") / "embeddings"
                segmenter = Segmenter(model, folder, int(4e9), print_line)
                register_photos(database, self.photos)
                with database.writing() as connection:
                    model_id = register_model(connection, checkpoint.name, segmenter.digest)
                with photo_progress(signs) as progress:
                    progress.begin("pre-filling photos")
                    done = prefill(
                        database,
                        self.photos,
                        segmenter,
                        detector,
                        model_id,
                        config,
                        progress.update,
                    )
        finally:
            database.close()
        print(
            f"pre-filled {count(done.photos, 'photo')} with {count(done.masks, 'mask')}; sam-jax annotate shows them"
        )
        if done.problems:
            raise RunError(
                f"{count(len(done.problems), 'photo')} left out: {'; '.join(done.problems[:5])}"
            )
