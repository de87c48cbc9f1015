"""How many images a second the loader feeds, alone on this machine.

    python -m experiments.benchmarks.loader ../shared/data/bbbc038 ../shared/data/bsds500 [--frame 512 512]
        [--workers 2] [--jitter] [--batches 40]

On two logical cores with other work on them, frames of 512x512, up to 32 masks an image, threads only: BBBC038 96
images a second (16 ms of CPU each; with --jitter 72 and 18 ms), BSDS500 89, DAVIS 179, COCO 92; photos of SA-1B's size
(2250x1500 with 100 masks) 8 to 12, 85 ms each: 26 reading the JPEG, 25 resizing it, 25 for 32 masks.
"""

import time
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from sam_jax.data.augmentation import PHOTOS, Augmentation
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.sources import open_source


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time the loader."""

    places: Positional[tuple[str, ...]]
    """Data sets, each timed by itself."""
    frame: tuple[int, int] = (512, 512)
    """Size of the model's input."""
    masks: int = 32
    """Masks an image."""
    batch_size: int = 8
    """Images a batch."""
    batches: int = 40
    """How many are timed."""
    workers: int = 0
    """Processes that read; 0 means two threads."""
    jitter: bool = False
    """Flips, large-scale jitter and colours, instead of the photos as they are."""


def measure(place: str, options: Options) -> tuple[float, float, float]:
    """Seconds to the first batch, images a second after what was read ahead is used up, and CPU seconds an image."""
    start = time.perf_counter()
    loader = Loader(
        [Ingredient(open_source(place), PHOTOS if options.jitter else Augmentation())],
        LoaderConfig(
            frame=options.frame,
            batch_size=options.batch_size,
            num_masks=options.masks,
            workers=options.workers,
        ),
    )
    next(loader)
    first = time.perf_counter() - start
    for _ in range(4):
        next(loader)
    start, start_of_work = time.perf_counter(), time.process_time()
    for _ in range(options.batches):
        next(loader)
    seconds, work = time.perf_counter() - start, time.process_time() - start_of_work
    loader.close()
    images = options.batches * options.batch_size
    return first, images / seconds, work / images


def main() -> None:
    """Print a row for each data set."""
    options = tyro.cli(Options, description=__doc__)
    table = Table("data set", "first batch", "images a second", "CPU an image", box=None)
    for place in options.places:
        first, rate, work = measure(place, options)
        # What worker processes do is not counted.
        shown = "" if options.workers else f"{work * 1e3:.1f} ms"
        table.add_row(place, f"{first:.1f} s", f"{rate:.1f}", shown)
    Console(markup=False, highlight=False).print(table)


if __name__ == "__main__":
    main()
