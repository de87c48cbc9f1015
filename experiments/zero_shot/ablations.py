"""What matters for quality (§7.6): size of the encoder, number of training images, source of the data.

    python -m experiments.zero_shot.ablations --output runs/ablations --splits BBBC038=data/bbbc038@5 \
        --stored BBBC038=data/bbbc038

Short runs from random weights, each measured by one click at the centre of objects: of drawn pictures that no run
has seen, and of any data sets named. A short run can learn flat shapes, so sizes and numbers are compared on those.
Draws the three plots (ablations.html) as the runs end. Stopped or killed, the same command goes on. The paper's full
sweep needs its data; this one takes an hour of two cores at 400 steps a run, and shows the slope, not the plateau.
`--steps 20 --images 4` shows in minutes that all works.
"""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro
from rich.progress import track

from sam_jax import SamPredictor, load
from sam_jax.data.augmentation import PHOTOS, Augmentation
from sam_jax.data.synthetic import SyntheticSource
from sam_jax.evaluation.click_results import mean_curve
from sam_jax.evaluation.datasets import Split, open_splits
from sam_jax.evaluation.interactive import InteractiveConfig, Picker, measure_image
from sam_jax.evaluation.methods import SamMethod
from sam_jax.evaluation.report import write_report
from sam_jax.evaluation.results import Cell, Table, print_table
from sam_jax.inference.settings import keep_settings
from sam_jax.models import TINY
from sam_jax.storage import write_json
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

ENCODERS = {"width 96": (96, 4, 3), "width 192": (192, 8, 6), "width 384": (384, 8, 12)}
"""Width, depth and heads."""
SOURCES = "source of data"
"""The plot whose values have no order."""
NUMBERS = (10, 100, 1000)
"""Of different training images."""
ENLARGED = replace(PHOTOS, scale=(0.8, 3.0), min_cells=4)
"""Of stored photos: at a small side, objects are only seen when enlarged."""
DRAWN_SEED = 1_000_003
"""Of the pictures that no run has seen."""
ONE_CLICK = InteractiveConfig(clicks=1, noc_thresholds=(), masks_per_image=5, min_area=64)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Repeat the ablations on a small scale."""

    output: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/ablations")
    """Folder of the runs and plots."""
    splits: tuple[str, ...] = ()
    """Data sets to measure on beside drawn pictures, as NAME=PLACE or NAME=PLACE@EVERY."""
    stored: tuple[str, ...] = ()
    """Data sets to train on, as NAME=PLACE, as sources beside drawn pictures; every fifth image is held back."""
    steps: int = 400
    """Of each run."""
    side: int = 128
    """Of the model's input in pixels."""
    images: int = 40
    """Measured of each data set."""


class Run(NamedTuple):
    """One point of a plot.

    Attributes:
        sweep: which plot it is in.
        value: what is different about it.
        config: how it trains.
    """

    sweep: str
    value: str
    config: TrainConfig


def plan_runs(options: Options) -> Iterator[Run]:
    """All runs; what differs is one thing in each plot."""
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
    """A run with an encoder of this width, depth and number of heads."""
    width, depth, heads = encoder
    official = dataclasses.replace(TINY, fine=None)
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
    """Train what isn't yet, and mIoU by data set."""
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    if train(run.config, folder) is not Ending.FINISHED:
        raise KeyboardInterrupt
    method = SamMethod(SamPredictor(load(folder / WEIGHTS)))
    means = {}
    for split in splits:
        label = f"{run.sweep}: {run.value}, on {split.name}"
        records = [
            measure_image(method, split.source[index], index, ONE_CLICK)
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


def draw_plot(sweep: str, points: dict[str, dict[str, float]]) -> str:
    """MIoU by value as SVG: the points of each data set, joined by a line where the values have an order."""
    width, height, left, top = 420, 300, 50, 36
    names = list(next(iter(points.values())))
    step = (width - left - 90) / max(len(points) - 1, 1)  # the last label has room to the right
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 24 * len(names)}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<text x="{left}" y="20" font-size="14">mIoU of one click by {html.escape(sweep)}</text>',
    ]

    def place(position: int, iou: float) -> tuple[float, float]:
        return left + 20 + position * step, top + (height - top - 50) * (1 - iou)

    for tenth in range(0, 11, 2):
        x, y = place(0, tenth / 10)
        parts.append(f'<path d="M{left} {y:.1f}H{width - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10}</text>')
    for position, value in enumerate(points):
        x, y = place(position, 0)
        lower = 18 + 14 * (position % 2)
        parts.append(
            f'<text x="{x:.1f}" y="{y + lower:.1f}" text-anchor="middle">{html.escape(value)}</text>'
        )
    for number, name in enumerate(names):
        colour = f"hsl({number * 137.5 % 360:.0f} 65% 42%)"
        line = [place(position, means[name]) for position, means in enumerate(points.values())]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        if sweep != SOURCES:
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
        parts.append(
            "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in line)
            + f'<text x="{left + 20}" y="{height + 16 + 22 * number}" fill="{colour}">{html.escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


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
        curves = [draw_plot(sweep, points) for sweep, points in plots.items()]
        write_report(options.output / "ablations.html", "Ablations", tables, curves=curves)
    print(f"wrote {options.output / 'ablations.html'}")


def tabulate(sweep: str, points: dict[str, dict[str, float]]) -> Table:
    """MIoU by value and data set."""
    names = tuple(next(iter(points.values())))
    rows: list[tuple[Cell, ...]] = [
        (value, *(means[name] for name in names)) for value, means in points.items()
    ]
    return Table(f"mIoU of one click by {sweep}", (sweep, *names), tuple(rows))


if __name__ == "__main__":
    main()
