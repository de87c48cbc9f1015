"""`sam-jax generate`: find the masks of everything in photos."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Settings of the automatic mask generator; the defaults are those of the official one."""

    points_per_side: int = 32
    """Points along each side of the grid of prompts."""
    points_per_batch: int = 64
    """Points that are decoded together. More points take more memory."""
    pred_iou_thresh: float = 0.88
    """Masks whose predicted IoU is not above this threshold are dropped."""
    stability_score_thresh: float = 0.95
    """Masks whose stability score, from 0 to 1, is below this threshold are dropped."""
    stability_score_offset: float = 1.0
    """The stability score is the IoU of the mask at a threshold higher by this offset with that at one lower by it."""
    box_nms_thresh: float = 0.7
    """Of two masks whose boxes have a higher IoU than this, the one of lower predicted IoU is dropped."""
    crop_n_layers: int = 0
    """Layers of crops that are searched as well: layer i has 2^i x 2^i crops of the photo."""
    crop_nms_thresh: float = 0.7
    """Threshold like --box-nms-thresh, between masks of different crops."""
    crop_overlap_ratio: float = 512 / 1500
    """Overlap of neighbouring crops, as a share of the photo's shorter side."""
    crop_n_points_downscale_factor: int = 1
    """Factor by which the points along a side of the grid decrease from one layer of crops to the next."""
    min_mask_region_area: int = 0
    """Islands of fewer pixels than this are removed from masks, and holes of fewer pixels are filled."""
    max_area_share: float = 2.0
    """Masks that cover this share of the photo or more are dropped. A share above 1 drops none."""


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
    checkpoint: Annotated[Path | None, arg(metavar="C")] = None
    """Weights: an official .pth, a Hugging Face folder, or a .safetensors of sam-jax; the default comes with it."""
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
    grid: Annotated[OmitArgPrefixes[Grid], arg(name="")] = field(default_factory=Grid)

    def run(self) -> None:
        """Find masks, showing progress, and print what was written.

        Raises:
            InputError: An option is wrong, there is no photo, or a photo could not be read.
        """
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.distributed import join_processes, wait_for_all
        from sam_jax.inference.automatic import SamAutomaticMaskGenerator
        from sam_jax.inference.folder_run import (
            COCO,
            MASKS,
            Extras,
            FolderRun,
            find_photos,
        )
        from sam_jax.inference.loading import copy_to_devices, load
        from sam_jax.inference.settings import describe_model, keep_settings
        from sam_jax.types import InputError

        check_output_folder(self.output)
        arguments = self._arguments()
        photos = find_photos(self.photos, self.output)
        keep_compiled_programs()
        if self.multi_host:
            join_processes()
        import jax

        model = load(self.checkpoint)
        settings = {"photos": str(photos.folder.resolve()), "arguments": arguments}
        settings |= describe_model(model)
        keep_settings(self.output, settings)
        generators = [
            SamAutomaticMaskGenerator(
                on_device,
                output_mode="coco_rle",
                images_per_batch=self.images_per_batch,
                **arguments,
            )
            for on_device in copy_to_devices(model)
        ]
        run = FolderRun(
            generators,
            photos,
            self.output,
            Extras(overlay=self.overlay, png=self.png),
            jax.process_index(),
            jax.process_count(),
        )
        started = time.perf_counter()
        masks, problems = _show_progress(run)
        seconds = time.perf_counter() - started
        done = len(run.to_do) - len(problems)
        before = f", {run.done_before} photos were done before" if run.done_before else ""
        print(
            f"wrote {masks} masks of {done} photos to {self.output / MASKS} in {seconds:.1f} s{before}"
        )
        if self.coco:
            wait_for_all()
            if jax.process_index() == 0:
                rest = "" if run.write_coco() else ", of the photos done so far"
                print(f"wrote {self.output / COCO}{rest}")
        if problems:
            raise InputError(f"{len(problems)} photos have no masks: " + "; ".join(problems))

    def _arguments(self) -> dict[str, Any]:
        from dataclasses import asdict

        from sam_jax.inference.automatic import SA1B
        from sam_jax.types import InputError

        arguments = asdict(self.grid)
        if not self.sa1b:
            return arguments
        chosen = [name for name in SA1B if arguments[name] != getattr(Grid, name)]
        if chosen:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
            raise InputError(f"--sa1b sets {options} itself: leave out one or the other")
        return arguments | SA1B


def _show_progress(run: Any) -> tuple[int, list[str]]:
    """Run, and return the number of masks that were found and the problems of photos without masks."""
    from sam_jax.cli.progress_bar import photo_progress

    masks, problems = 0, []
    with photo_progress() as progress:
        screen = progress.console
        total = len(run.to_do) + run.done_before
        for outcome in progress.track(run, total, completed=run.done_before, description="photos"):
            masks += outcome.masks
            if outcome.problem is not None:
                problems.append(outcome.problem)
            elif not screen.is_terminal:
                screen.print(
                    f"{outcome.name}: {outcome.masks} masks", markup=False, highlight=False
                )
    return masks, problems
