"""Edges on BSDS500 (§7.2): SAM beside Canny and Sobel.

    python -m experiments.zero_shot.edges data/bsds500/images/val --output runs/edges

`sam-jax evaluate edges` with all methods. The paper's ViT-H: ODS .768, OIS .786, AP .794, R50 .928 on the test split.
"""

from dataclasses import dataclass

import tyro

from sam_jax.cli.evaluate import Edges
from sam_jax.evaluation.edges.experiment import EDGE_METHODS


@dataclass(frozen=True, kw_only=True)
class PaperEdges(Edges):
    """Find edges, with every method."""

    methods: tuple[str, ...] = EDGE_METHODS


if __name__ == "__main__":
    tyro.cli(PaperEdges).run()
