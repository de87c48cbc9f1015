r"""One click at the centre of every mask, on held-back photos, beside classical methods.

    python -m experiments.one_click --checkpoint WEIGHTS --output runs/one_click \
        BBBC038=data/bbbc038@5 BSDS500=data/bsds500/images/val DAVIS=data/davis2016 COCO=data/coco_tiny/instances.json

`@5` takes every fifth photo, from the first on: what training with `hold_back=5` never saw. Of each photo 10 masks of
at least 64 pixels are drawn. Prints the table, writes it as JSON with every click, and pictures of the best, median and
worst: photo, click and mask beside the truth.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam_jax import SamPredictor, load
from sam_jax.data.example import Source
from sam_jax.data.images import write_image
from sam_jax.data.sources import open_source
from sam_jax.evaluation.classical import CLASSICAL
from sam_jax.evaluation.one_click import Click, Method, measure_clicks, sam_method
from sam_jax.inference.overlay import draw_overlay


class Split(NamedTuple):
    """A part of a data set."""

    name: str
    source: Source
    records: Sequence[int]


def open_split(text: str, most: int | None) -> Split:
    """Open `NAME=PLACE` or `NAME=PLACE@EVERY`; at most so many photos, spread evenly."""
    name, _, place = text.partition("=")
    place, _, every = place.partition("@")
    source = open_source(place)
    records = np.arange(0, len(source), int(every or 1))
    if most is not None and len(records) > most:
        records = records[np.linspace(0, len(records) - 1, most).round().astype(int)]
    return Split(name, source, records.tolist())


def measure(method: Method, label: str, split: Split, masks_per_image: int) -> list[Click]:
    """All clicks of a split."""
    clicks: list[Click] = []
    for record in track(split.records, f"{label} on {split.name}", transient=True):
        clicks += measure_clicks(
            method, split.source, [record], masks_per_image=masks_per_image, min_area=64
        )
    return clicks


def draw_cases(method: Method, split: Split, clicks: list[Click], folder: Path) -> None:
    """Pictures of the best, median and worst click by the mask that the method trusts."""
    order = sorted(clicks, key=lambda click: click.trusted_iou)
    third = len(order) // 2
    cases = {"worst": order[:3], "median": order[third : third + 3], "best": order[-3:]}
    for name, some in cases.items():
        for number, click in enumerate(some):
            example = split.source[click.record]
            point = np.array([click.point])
            masks, trust = next(iter(method(example.image, point)))
            mark = {"points": point, "labels": np.ones(1, np.int64)}
            answer = draw_overlay(example.image, masks[[int(np.argmax(trust))]], **mark)
            truth = draw_overlay(example.image, example.masks[click.mask][None], **mark)
            path = folder / f"{split.name}_{name}_{number}_{click.trusted_iou:.2f}.png"
            write_image(path, np.concatenate([answer, truth], axis=1))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="One click at the centre of every mask.")
    parser.add_argument("splits", nargs="+", metavar="NAME=PLACE[@EVERY]")
    parser.add_argument("--checkpoint", type=Path, help="weights; by default those that come along")
    parser.add_argument("--image-size", type=int, help="another input size than the weights'")
    parser.add_argument("--output", type=Path, default=Path("runs/one_click"))
    parser.add_argument("--images", type=int, help="at most so many photos of a split")
    parser.add_argument("--masks", type=int, default=10, help="at most so many masks of a photo")
    parser.add_argument("--only-sam", action="store_true", help="leave the classical methods out")
    options = parser.parse_args()

    predictor = SamPredictor(load(options.checkpoint, image_size=options.image_size))
    methods = {"sam_jax": sam_method(predictor)} | ({} if options.only_sam else CLASSICAL)
    splits = [open_split(text, options.images) for text in options.splits]
    options.output.mkdir(parents=True, exist_ok=True)
    table = Table("method", *(f"{split.name}\n{len(split.records)} photos" for split in splits))
    results: dict[str, dict[str, list[Click]]] = {}
    for label, method in methods.items():
        row = []
        for split in splits:
            clicks = measure(method, label, split, options.masks)
            results.setdefault(label, {})[split.name] = clicks
            trusted, best = (
                np.mean([getattr(click, name) for click in clicks])
                for name in ("trusted_iou", "best_iou")
            )
            row.append(f"{trusted:.3f} / {best:.3f}  ({len(clicks)})")
            if label == "sam_jax":
                draw_cases(method, split, clicks, options.output)
        table.add_row(label, *row)
    Console().print("mIoU of the trusted mask / of the best of three (number of clicks)", table)
    text = json.dumps(
        {
            label: {name: [click._asdict() for click in clicks] for name, clicks in by.items()}
            for label, by in results.items()
        }
    )
    (options.output / "clicks.json").write_text(text)


if __name__ == "__main__":
    main()
