"""Options that the experiments of `sam-jax evaluate` share, and what they become."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, arg

MODEL = "sam"


@dataclass(frozen=True, kw_only=True)
class Common:
    """Of every experiment."""

    output: Annotated[Path, arg(metavar="DIR")]
    """Folder for tables, a page with pictures, and a record of each image; the same command goes on with these."""
    checkpoint: Annotated[Path | None, arg(metavar="C")] = None
    """Weights: an official .pth, a Hugging Face folder, or our .safetensors; the default comes with sam-jax."""
    image_size: Annotated[int | None, arg(metavar="SIDE")] = None
    """Side of the model's input in pixels, if not the checkpoint's own."""
    images: Annotated[int | None, arg(metavar="N")] = None
    """At most so many images of a data set, spread evenly over it."""
    pictures: Annotated[int, arg(metavar="N")] = 3
    """So many of the best, median and worst cases are shown on the page."""
    multi_host: FlagCreatePairsOff[bool] = False
    """This is one of several processes that share the images (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""

    def start(self) -> None:
        """Check the folder and join the other processes, before anything else touches a device."""
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.distributed import join_processes

        check_output_folder(self.output)
        keep_compiled_programs()
        if self.multi_host:
            join_processes()

    def pictures_here(self) -> int:
        """So many cases of each kind are drawn by this process: of several only the first does."""
        import jax

        return self.pictures if jax.process_index() == 0 else 0

    def load_models(self) -> list[Any]:
        """The model on each device."""
        from sam_jax.inference.loading import copy_to_devices, load

        return copy_to_devices(load(self.checkpoint, image_size=self.image_size))
