"""What matters for quality (§7.6): size of the encoder, number of training images, source of the data.

    python -m experiments.zero_shot.ablations --output runs/ablations --splits BBBC038=data/bbbc038@5 \
        --stored BBBC038=data/bbbc038

Short runs from random weights, each measured by one click at the centre of objects: of drawn pictures that no run
has seen, and of any data sets named. A short run can learn flat shapes, so sizes of encoders and
numbers of images are compared on those.
Draws the three plots (ablations.html) as the runs end. Stopped or killed, the same command goes on. The paper's full
sweep needs its data; this one takes an hour of two cores at 400 steps a run, and shows the slope, not the plateau.
`--steps 20 --images 4` shows in minutes that all works.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro
from rich.progress import track

from sam_jax import SamPredictor, load
from sam_jax.data.augmentation import PHOTOS, Augmentation
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.evaluation.plots import COLOURS, figure_to_svg, new_plot
from sam_jax.evaluation.points.segmenters import SamClickSegmenter
from sam_jax.evaluation.points.sessions import Picker, PointsConfig, click_objects
from sam_jax.evaluation.points.summary import mean_curve
from sam_jax.evaluation.report import format_report
from sam_jax.evaluation.splits import Split, open_splits
from sam_jax.evaluation.tables import Cell, Table, print_table
from sam_jax.inference.settings import keep_settings
from sam_jax.models import TINY
from sam_jax.storage import write_json, write_text
from sam_jax.training.config import (
    DataConfig,
    Execution,
    Reporting,
    Stored,
    Synthetic,
    TrainConfig,
)
from sam_jax.training.interaction import Interaction
from sam_jax.training.loop import WEIGHTS, Ending, train
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.types import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENCODERS = {"width 96": (96, 4, 3), "width 192": (192, 8, 6), "width 384": (384, 8, 12)}
"""Width, depth and number of heads of each encoder."""
SOURCES = "source of data"
"""Name of the plot whose values have no order."""
NUMBERS = (10, 100, 1000)
"""Numbers of different training images."""
ENLARGED = replace(PHOTOS, scale=(0.8, 3.0), min_cells=4)
"""Augmentation of stored photos: on a small input, objects are only visible when they are enlarged."""
DRAWN_SEED = 1_000_003
"""Seed of the drawn pictures to measure on, which no run has seen."""
ONE_CLICK = PointsConfig(clicks=1, noc_thresholds=(), masks_per_image=5, min_area=64)
"""How objects are clicked."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Repeat the ablations on a small scale."""

    output: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/ablations")
    """Folder of the runs and the plots."""
    splits: tuple[str, ...] = ()
    """Data sets to measure on beside drawn pictures, as NAME=PLACE or NAME=PLACE@EVERY."""
    stored: tuple[str, ...] = ()
    """Data sets to train on as further sources, as NAME=PLACE; every fifth image is held out."""
    steps: int = 400
    """Training steps of each run."""
    side: int = 128
    """Side of the model's input in pixels."""
    images: int = 40
    """Images of each data set to measure."""


class Run(NamedTuple):
    """One point of a plot.

    Attributes:
        sweep: The plot that the run belongs to.
        value: What is different about the run.
        config: Training configuration of the run.
    """

    sweep: str
    value: str
    config: TrainConfig


def plan_runs(options: Options) -> Iterator[Run]:
    """All runs; the runs of one plot differ in one thing."""
    flat = Synthetic(
        size=(options.side, options.side * 4 // 3),
        plain=1.0,
        augmentation=Augmentation(flip_horizontally=True, min_cells=10),
    )
    middle = ENCODERS["width 192"]
    for value, encoder in ENCODERS.items():
        yield Run("encoder", value, make_config(options, encoder, flat))
    for number in NUMBERS:
        some = replace(flat, repeat=number)
        yield Run("number of images", str(number), make_config(options, middle, some))
    yield Run("number of images", "no image twice", make_config(options, middle, flat))
    scenes = replace(flat, plain=0.0)
    yield Run(SOURCES, "flat shapes", make_config(options, middle, flat))
    yield Run(SOURCES, "drawn scenes", make_config(options, middle, scenes))
    for text in options.stored:
        name, _, place = text.partition("=")
        photos = Stored(path=place, hold_back=5, augmentation=ENLARGED)
        yield Run(SOURCES, name, make_config(options, middle, photos))
        both = make_config(options, middle, flat, photos)
        yield Run(SOURCES, f"shapes and {name}", both)


def make_config(
    options: Options, encoder: tuple[int, int, int], *sources: Synthetic | Stored
) -> TrainConfig:
    """The configuration of a run.

    Args:
        options: Options of the command.
        encoder: Width, depth and number of heads of the encoder.
        *sources: Training data.
    """
    width, depth, heads = encoder
    official = replace(TINY, fine=None)
    model = replace(
        official,
        image_encoder=replace(
            official.image_encoder,
            image_size=(options.side, options.side),
            width=width,
            depth=depth,
            num_heads=heads,
            global_blocks=tuple(range(1, depth, 2)),
            window_size=4,
        ),
    )
    return TrainConfig(
        model=model,
        data=DataConfig(sources=sources, batch_size=8, masks_per_image=8),
        steps=options.steps,
        optimiser=OptimiserConfig(
            method="muon",
            rate=2e-3,
            warmup_steps=min(20, options.steps - 1),
            decay=CosineDecay(),
            weight_decay=0.05,
            layer_decay=1.0,
        ),
        interaction=Interaction(iterations=1, refine_iterations=0, box_share=0.2),
        execution=Execution(data_workers=1),
        reporting=Reporting(pictures_every=0, states_every=100),
    )


def measure(run: Run, folder: Path, splits: Sequence[Split]) -> dict[str, float]:
    """The mIoU of a run by data set; trains and measures the run first if that is not done yet.

    Raises:
        InputError: A data set has no object that is large enough.
    """
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    if train(run.config, folder) is not Ending.FINISHED:
        raise KeyboardInterrupt
    segmenter = SamClickSegmenter(SamPredictor(load(folder / WEIGHTS)))
    means = {}
    for split in splits:
        label = f"{run.sweep}: {run.value}, on {split.name}"
        records = [
            click_objects(segmenter, split.source[index], index, ONE_CLICK)
            for index in track(split.indices, label, transient=True)
        ]
        curve = mean_curve(records, Picker.TRUSTED, 1)
        if not curve:
            raise InputError(
                f"{split.name}: no object of {ONE_CLICK.min_area} pixels; raise --images"
            )
        means[split.name] = curve[0]
    write_json(result, means)
    return means


def plot_sweep(sweep: str, points: dict[str, dict[str, float]]) -> "Figure":
    """A plot of mIoU by value: the points of each data set, joined by a line where the values have an order.

    Args:
        sweep: Name of the plot.
        points: MIoU by value and data set.
    """
    figure, axes = new_plot(max(6.0, 1.5 * len(points)), 4.0)
    style = "o" if sweep == SOURCES else "o-"
    for place, name in enumerate(next(iter(points.values()))):
        means = [of_value[name] for of_value in points.values()]
        axes.plot(list(points), means, style, color=COLOURS[place % len(COLOURS)], label=name)
    axes.margins(x=0.1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("mIoU")
    axes.set_title(f"mIoU of one click by {sweep}", loc="left")
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    return figure


def main() -> None:
    """Train, measure, draw."""
    options = tyro.cli(Options)
    settings = asdict(options)
    del settings["output"]
    keep_settings(options.output, settings)
    size = (options.side * 2, options.side * 8 // 3)
    splits = []
    for name, plain in (("flat shapes", 1.0), ("drawn scenes", 0.0)):
        drawn = SyntheticSource(seed=DRAWN_SEED, size=size, plain=plain)
        splits.append(Split(name, drawn.name, drawn, range(options.images)))
    splits += open_splits(options.splits, options.images)
    plots: dict[str, dict[str, dict[str, float]]] = {}
    folders: dict[str, Path] = {}
    for run in plan_runs(options):
        folder = options.output / run.sweep.replace(" ", "_") / run.value.replace(" ", "_")
        folder = folders.setdefault(repr(run.config), folder)  # one run may be in several plots
        folder.mkdir(parents=True, exist_ok=True)
        plots.setdefault(run.sweep, {})[run.value] = measure(run, folder, splits)
        tables = [tabulate(sweep, points) for sweep, points in plots.items()]
        print_table(tables[-1])
        drawings = [figure_to_svg(plot_sweep(sweep, points)) for sweep, points in plots.items()]
        page = format_report("Ablations", tables, plots=drawings)
        write_text(options.output / "ablations.html", page)
    print(f"wrote {options.output / 'ablations.html'}")


def tabulate(sweep: str, points: dict[str, dict[str, float]]) -> Table:
    """A table of mIoU by value and data set."""
    names = tuple(next(iter(points.values())))
    rows: list[tuple[Cell, ...]] = [
        (value, *(means[name] for name in names)) for value, means in points.items()
    ]
    return Table(f"mIoU of one click by {sweep}", (sweep, *names), tuple(rows))


if __name__ == "__main__":
    main()
