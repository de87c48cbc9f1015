"""`sam-jax engine generate`: the third stage of the data engine."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from sam_jax.cli.grid_options import PAPER_GRID, Grid
from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.data_engine.database import Database
    from sam_jax.inference.folder_run import FolderRun


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Mask all photos of a database that are not masked yet, with the settings with which the paper made SA-1B.

    A photo is masked already if a person has finished it or has drawn, accepted or rejected a mask in it, if it has
    masks that were imported, or if an earlier run has finished it. Pre-filled masks that nobody has looked at make way.
    Others may be at work in sam-jax annotate meanwhile: a photo that somebody has open is left for later. After an
    interruption, the same command goes on.

    Example: sam-jax engine generate photos/annotations.sqlite
    """

    database: Annotated[Positional[str], arg(metavar="DATABASE")]
    """Database of sam-jax annotate: an SQLite file or an address."""
    photos: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="[PHOTOS ...]", help_behavior_hint=UNSET)
    ] = ()
    """Photos and folders to mask, of those that the database is about; the default is all. For a new database, the
    folder of its photos."""
    output: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Write the masks to DIR/sa1b in SA-1B's form, as sam-jax generate does, and leave the database as it is."""
    checkpoint: Annotated[Path | None, arg(metavar="C", help_behavior_hint=UNSET)] = None
    """Weights: an official .pth, a Hugging Face folder, a .safetensors, or `default`. The default is the version that
    the database has in use."""
    images_per_batch: int = 1
    """Photos, or crops of them, that are encoded together. More are faster on a GPU or TPU, and take more memory."""
    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint=UNSET)] = None
    """Share the photos among the machines of a Ray cluster, HOST:PORT or ray://HOST:PORT; `local` starts one on this
    machine. All see the photos and the weights by the same paths."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """Processes of the cluster that mask photos. The default is one for each GPU or TPU chip, or for each machine where
    there are none."""
    grid: Annotated[OmitArgPrefixes[Grid], arg(name="")] = field(default_factory=lambda: PAPER_GRID)

    def run(self) -> None:
        """Find masks, showing progress, and print what was stored.

        Raises:
            InputError: An option is wrong, or there is no photo.
            RunError: Some photos could not be used; the others have masks.
        """
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.data_engine.database import Database
        from sam_jax.types import InputError

        if self.output is not None:
            check_output_folder(self.output)
        if self.workers is not None and self.ray is None:
            raise InputError("--workers belongs to --ray, which is not given")
        if not (self.photos or "://" in self.database or Path(self.database).is_file()):
            raise InputError(
                f"no such database: {self.database}; to make it, name the folder of its photos after it"
            )
        keep_compiled_programs()
        database = Database(self.database)
        try:
            self._mask(database)
        finally:
            database.close()

    def _mask(self, database: "Database") -> None:
        from sam_jax.checkpoints import load_checkpoint
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.progress_bar import track_masks
        from sam_jax.data_engine.generating import DatabaseRun, choose_photos, open_photos
        from sam_jax.data_engine.versions import choose_weights
        from sam_jax.data_engine.workplace import register_model
        from sam_jax.distributed.cluster import Cluster
        from sam_jax.inference import load
        from sam_jax.inference.automatic import SamAutomaticMaskGenerator
        from sam_jax.inference.masking import MaskFinder, find_masks_on_cluster, make_generators
        from sam_jax.inference.settings import describe_model
        from sam_jax.inference.tally import explain_nothing
        from sam_jax.messages import LifeSigns, count
        from sam_jax.models import Model
        from sam_jax.types import InputError, RunError

        started = time.perf_counter()
        folder, places = open_photos(database, self.photos)
        with database.reading() as connection:
            chosen = choose_photos(connection, places)
        with contextlib.ExitStack() as ending:
            signs = ending.enter_context(LifeSigns())
            checkpoint = choose_weights(database, self.checkpoint)
            signs.begin(f"loading the weights, {checkpoint}")
            # With a cluster, this process leaves the devices to the workers.
            is_here = self.ray is None
            model = load(checkpoint) if is_here else Model(*load_checkpoint(checkpoint))
            arguments = self.grid.arguments(model.config.automatic)
            if is_here:
                generators = make_generators(model, arguments, self.images_per_batch)
            else:
                generators = [SamAutomaticMaskGenerator(model, **arguments)]  # refuses wrong ones
            about = describe_model(model)
            if self.output is None:
                with database.writing() as connection:
                    number = register_model(connection, checkpoint.name, about["weights"])
                run = DatabaseRun(generators, database, folder, chosen, number)
            else:
                settings = {"photos": str(folder.resolve()), "arguments": arguments, **about}
                run = self._make_folder_run(generators, folder, list(chosen.numbers), settings)
            outcomes = run
            if self.ray is not None and run.to_do:
                signs.begin(f"starting workers by Ray, {self.ray}")
                finder = MaskFinder(
                    checkpoint=str(checkpoint),
                    digest=about["weights"],
                    arguments=arguments,
                    images_per_batch=self.images_per_batch,
                    folder=folder,
                    prepare=keep_compiled_programs,
                )
                cluster = ending.enter_context(Cluster(self.ray, self.workers))
                outcomes = run.keep_all(find_masks_on_cluster(cluster, finder, run.to_do))
            masks, problems, left = track_masks(outcomes, len(run.to_do), run.done_before, signs)
        done = len(run.to_do) - len(problems) - left
        left += chosen.left
        place = self.database if self.output is None else self.output
        others = [f"; {count(run.done_before, 'photo')} done before"] if run.done_before else []
        others += [f"; {count(left, 'photo')} left to people who are at work"] if left else []
        print(
            f"wrote {count(masks, 'mask')} of {count(done, 'photo')} to {place} in "
            f"{time.perf_counter() - started:.1f} s{''.join(others)}"
        )
        if done and not masks and is_here:
            print(explain_nothing((generator.tally for generator in generators), arguments))
        if problems:
            kind = RunError if done + run.done_before else InputError
            raise kind(f"no masks of {count(len(problems), 'photo')}: {'; '.join(problems)}")

    def _make_folder_run(
        self, generators: Any, folder: Path, names: list[str], settings: dict[str, Any]
    ) -> "FolderRun":
        from sam_jax.inference.folder_run import Extras, FolderRun, Photos, refuse_doubles
        from sam_jax.inference.settings import keep_settings
        from sam_jax.types import InputError

        assert self.output is not None
        if self.output.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                "--output is in the folder of the photos, which what is written there would become: name another"
            )
        refuse_doubles(names)
        keep_settings(self.output, settings)
        return FolderRun(generators, Photos(folder, names), self.output, Extras())
