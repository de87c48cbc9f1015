"""Object proposals (§7.3): three masks a point, one mask a point, and a method without learning.

    python -m experiments.zero_shot.proposals COCO=data/coco_tiny/instances.json --output runs/proposals

`sam-jax evaluate proposals` with all methods: 64×64 points, box NMS at 0.9, the best 1000 masks by the mean of
predicted IoU and stability. The paper's ViT-H on LVIS v1: AR@1000 59.3, with single masks 54.9.
"""

from dataclasses import dataclass

import tyro

from sam_jax.cli.evaluate import Proposals
from sam_jax.evaluation.proposals.proposers import PROPOSAL_METHODS


@dataclass(frozen=True, kw_only=True)
class PaperProposals(Proposals):
    """Propose objects, with every method."""

    methods: tuple[str, ...] = PROPOSAL_METHODS


if __name__ == "__main__":
    tyro.cli(PaperProposals).run()
