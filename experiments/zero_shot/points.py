r"""Segmenting by clicks (§7.1): SAM beside methods without learning.

    python -m experiments.zero_shot.points BBBC038=data/bbbc038@5 BSDS500=data/bsds500/images/val \
        DAVIS=data/davis2016 COCO=data/coco_tiny/instances.json --output runs/points

`sam-jax evaluate points` with other defaults: all methods, up to 10 objects of an image, each of at least 64 pixels.
`@5` takes every fifth image, from the first on, which are the held-out images of training with `hold_back=5`. The paper
measures 23 data sets: `python -m experiments.zero_shot.points --list` names them, and says where to get them.
"""

import sys
from dataclasses import dataclass

import tyro

from sam_jax.cli.evaluate import Points
from sam_jax.evaluation.points.paper_datasets import tabulate_datasets
from sam_jax.evaluation.points.segmenters import POINT_METHODS
from sam_jax.evaluation.tables import print_table


@dataclass(frozen=True, kw_only=True)
class PaperPoints(Points):
    """Click objects again and again, with every method."""

    methods: tuple[str, ...] = POINT_METHODS
    masks_per_image: int | None = 10
    min_area: int = 64


def main() -> None:
    """Measure, or list the paper's data sets."""
    if sys.argv[1:] == ["--list"]:
        print_table(tabulate_datasets())
        return
    tyro.cli(PaperPoints).run()


if __name__ == "__main__":
    main()
