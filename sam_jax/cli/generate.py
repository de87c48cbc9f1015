"""`sam-jax generate`: find the masks of everything in photos."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from sam_jax.cli.grid_options import Grid
from sam_jax.cli.options import DEFAULT_CHECKPOINT, UNSET, Checkpoint

if TYPE_CHECKING:
    from sam_jax.models.clip import ClipModel


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Find the masks of everything in a photo, or in all photos of a folder.

    The photos, each with a json file in SA-1B's form, are written to DIR/sa1b. After an interruption, the same command
    goes on with the photos that are missing.

    Example: sam-jax generate photos --output masks --overlay
    """

    photos: Annotated[Positional[Path], arg(metavar="IMAGE_OR_FOLDER")]
    """A photo, or a folder of photos, whose subfolders are searched, too."""
    output: Annotated[Path, arg(metavar="DIR")]
    """Folder of the results."""
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT
    """Weights: an official .pth, a Hugging Face folder, a .safetensors, or `default`, which comes with sam-jax."""
    overlay: FlagCreatePairsOff[bool] = False
    """Also write pictures that show the masks on the photos, to DIR/overlays."""
    coco: FlagCreatePairsOff[bool] = False
    """Also write one COCO file of all photos, DIR/coco.json."""
    png: FlagCreatePairsOff[bool] = False
    """Also write each mask as a PNG file, to DIR/pngs, with a table of them."""
    sa1b: FlagCreatePairsOff[bool] = False
    """Use the settings with which the paper made SA-1B. They include two layers of crops, so this takes longer."""
    images_per_batch: int = 1
    """Photos, or crops of them, that are encoded together. More are faster on a GPU or TPU, and take more memory."""
    multi_host: FlagCreatePairsOff[bool] = False
    """This is one of several processes that share the photos (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""
    text: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PHRASE")] = ()
    """Keep the masks that fit a phrase, such as "a wheel", by CLIP's judgement. Repeat it for more phrases."""
    clip: Annotated[Path | None, arg(metavar="CLIP", help_behavior_hint=UNSET)] = None
    """CLIP for --text: a Hugging Face folder, OpenAI's .pt, or `drawings`, which comes with sam-jax and knows drawings
    only; the default is what `sam-jax download` brought, or else `drawings`."""
    text_threshold: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint=UNSET)] = None
    """Similarity from which a mask fits a phrase: a cosine, by default 0.2, or a probability, by default 0.5."""
    profile: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Local folder for a trace of the second and third photo, for TensorBoard or Perfetto."""
    grid: Annotated[OmitArgPrefixes[Grid], arg(name="")] = field(default_factory=Grid)

    def run(self) -> None:
        """Find masks, showing progress, and print what was written.

        Raises:
            InputError: An option is wrong, there is no photo, or none could be used.
            RunError: Some photos could not be used; the others have masks.
        """
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.cli.progress_bar import track_masks
        from sam_jax.distributed import check_shared, join_processes, wait_for_all
        from sam_jax.inference.automatic import SA1B
        from sam_jax.inference.folder_run import (
            COCO,
            MASKS,
            Extras,
            FolderRun,
            find_photos,
        )
        from sam_jax.inference.loading import copy_to_devices, load, load_clip_model
        from sam_jax.inference.masking import make_generators
        from sam_jax.inference.settings import describe_model, keep_settings
        from sam_jax.inference.tally import explain_nothing
        from sam_jax.inference.text_ranking import TextMaskGenerator, explain_nothing_fits
        from sam_jax.messages import LifeSigns, count
        from sam_jax.types import InputError, RunError

        check_output_folder(self.output)
        self._check_sa1b()
        self._check_text()
        photos = find_photos(self.photos, self.output)
        keep_compiled_programs()
        if self.multi_host:
            join_processes()
        import jax

        check_shared(self.output)
        with LifeSigns(is_silent=jax.process_index() > 0) as signs:
            signs.begin(f"loading the weights, {self.checkpoint}")
            model = load(self.checkpoint)
            arguments = self.grid.arguments(model.config.automatic) | (SA1B if self.sa1b else {})
            generators = make_generators(model, arguments, self.images_per_batch)
            clip = load_clip_model(self.clip) if self.text else None
            of_phrases = (
                [
                    TextMaskGenerator(generator, of_device, self.text, self.text_threshold)
                    for generator, of_device in zip(generators, copy_to_devices(clip), strict=True)
                ]
                if clip is not None
                else []
            )
            # After the generators, which refuse wrong arguments: nothing is left of those.
            settings = {"photos": str(photos.folder.resolve()), "arguments": arguments}
            settings |= describe_model(model)
            settings |= {} if clip is None else self._describe_text(clip)
            keep_settings(self.output, settings)
        run = FolderRun(
            of_phrases or generators,
            photos,
            self.output,
            Extras(overlay=self.overlay, png=self.png),
            jax.process_index(),
            jax.process_count(),
        )
        started = time.perf_counter()
        masks, problems, _ = track_masks(run, len(run.to_do), run.done_before, profile=self.profile)
        seconds = time.perf_counter() - started
        done = len(run.to_do) - len(problems)
        before = f"; {count(run.done_before, 'photo')} done before" if run.done_before else ""
        found = f"{count(masks, 'mask')} of {count(done, 'photo')}"
        print(f"wrote {found} to {self.output / MASKS} in {seconds:.1f} s{before}")
        if done and not masks:
            tallies = (generator.tally for generator in generators)
            print(explain_nothing_fits(of_phrases) or explain_nothing(tallies, arguments))
        wait_for_all()  # of what all have written; and the end of one would end the others
        if self.coco and jax.process_index() == 0:
            rest = "" if run.write_coco() else ", of the photos done so far"
            print(f"wrote {self.output / COCO}{rest}")
        if problems:
            kind = RunError if done + run.done_before else InputError
            raise kind(f"no masks of {count(len(problems), 'photo')}: " + "; ".join(problems))

    def _check_text(self) -> None:
        from sam_jax.types import InputError

        given = {"--clip": self.clip, "--text-threshold": self.text_threshold}
        for name, value in given.items():
            if value is not None and not self.text:
                raise InputError(f"{name} belongs to --text, which is not given")

    def _describe_text(self, clip: "ClipModel") -> dict[str, Any]:
        """What the choice of masks by phrases depends on."""
        from sam_jax.inference.settings import describe_model
        from sam_jax.inference.text_ranking import find_threshold

        threshold = self.text_threshold
        return {
            "text": list(self.text),
            "text_threshold": find_threshold(clip) if threshold is None else threshold,
            "clip": describe_model(clip),
        }

    def _check_sa1b(self) -> None:
        from sam_jax.inference.automatic import SA1B
        from sam_jax.types import InputError

        arguments = asdict(self.grid) if self.sa1b else {}
        chosen = [name for name in SA1B if arguments and arguments[name] != getattr(Grid, name)]
        if chosen:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
            raise InputError(f"--sa1b sets {options} itself: leave out one or the other")
