"""Trains the small model from its data to its weights; the same command goes on where it stopped."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.tiny.photos import write_photos
from experiments.tiny.recipe import run_recipe
from experiments.tiny.stages import STAGES
from sam_jax.cli.compilation import keep_compiled_programs
from sam_jax.types import InputError, RunError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train the small model from its data to its weights; the same command goes on where it stopped."""

    data: Path = Path("data")
    """Folder of bbbc038, coco_tiny, davis2016 and photos."""
    output: Path = Path("runs/tiny")
    """Folder for the prepared photos, the stages and the weights."""
    workers: int = 1
    """Number of processes that draw and read pictures; one for each spare core is best."""


def main() -> None:
    """Prepare the photos and run the stages."""
    options = tyro.cli(Options, prog="python -m experiments.tiny")
    photos = options.output / "photos"
    keep_compiled_programs()
    try:
        write_photos(options.data, photos)
        weights = run_recipe(
            STAGES, options.output, data=options.data, photos=photos, workers=options.workers
        )
    except (InputError, RunError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"wrote {weights}")


if __name__ == "__main__":
    main()
