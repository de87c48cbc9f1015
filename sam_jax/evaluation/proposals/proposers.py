"""What makes proposals for the objects of an image: the automatic mask generator, and a method without learning."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sam_jax.data.pixel_runs import Runs, find_label_runs
from sam_jax.evaluation.experiment import (
    Method,
    ModelCopies,
    check_method_names,
    copy_model,
)
from sam_jax.evaluation.graph_segments import FELZENSZWALB_SCALES, felzenszwalb_segments
from sam_jax.inference import SamAutomaticMaskGenerator
from sam_jax.inference.automatic import Record as FoundMask
from sam_jax.models import Model
from sam_jax.ops.rle import Rle, compress_counts
from sam_jax.types import InputError

SAM, SAM_SINGLE, FELZENSZWALB = PROPOSAL_METHODS = ("sam", "sam-single", "felzenszwalb")
"""Names of the methods that `proposal_methods` knows: three masks a point, one mask a point, graph-based segments."""

MOST = 1000
"""Proposals of an image that count."""


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """How `SamAutomaticMaskGenerator` makes proposals; the defaults are the paper's (SAM, appendix D.3).

    Attributes:
        points_per_side: Points along each side of the grid.
        points_per_batch: Points that are decoded together; more need more memory.
        box_nms_thresh: IoU of two masks' boxes above which the mask of lower predicted IoU is dropped.
        pred_iou_thresh: Masks whose predicted IoU is not above this threshold are dropped; 0 to drop none.
        stability_score_thresh: Masks whose stability score is below this threshold are dropped; 0 to drop none.
        multimask_output: Whether each point gives three masks, or one.
        most: The most proposals of an image; those with the highest mean of predicted IoU and stability are kept.

    Raises:
        InputError: `most` is below 1.
    """

    points_per_side: int = 64
    points_per_batch: int = 64
    box_nms_thresh: float = 0.9
    pred_iou_thresh: float = 0.0
    stability_score_thresh: float = 0.0
    multimask_output: bool = True
    most: int = MOST

    def __post_init__(self) -> None:
        if self.most < 1:
            raise InputError(f"most is at least 1, not {self.most}")


class RankedMasks(NamedTuple):
    """Proposals: masks of what may be objects, the most probable first.

    Attributes:
        rles: The masks, with counts as COCO's strings.
        scores: Score of each mask, descending.
    """

    rles: list[Rle]
    scores: Float[np.ndarray, " n"]


Proposer = Callable[[UInt8[np.ndarray, "h w 3"]], RankedMasks]
"""What is measured: from an RGB photo to proposals."""


def sam_proposer(model: Model, config: ProposalConfig) -> Proposer:
    """Segment Anything as a maker of proposals.

    Args:
        model: Model with its weights.
        config: How proposals are made.

    Raises:
        InputError: The configuration contradicts itself.
    """
    generator = SamAutomaticMaskGenerator(
        model,
        points_per_side=config.points_per_side,
        points_per_batch=config.points_per_batch,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        box_nms_thresh=config.box_nms_thresh,
        output_mode="coco_rle",
        multimask_output=config.multimask_output,
    )

    def propose(image: UInt8[np.ndarray, "h w 3"]) -> RankedMasks:
        return rank_masks(generator.generate(image), config.most)

    return propose


def rank_masks(masks: Iterable[FoundMask], most: int) -> RankedMasks:
    """The best of a generator's masks by the mean of predicted IoU and stability; empty masks are left out.

    Args:
        masks: Masks as run lengths (`output_mode="coco_rle"`).
        most: The most masks to keep.
    """
    found = [mask for mask in masks if mask["area"] > 0]
    scores = np.array([(mask["predicted_iou"] + mask["stability_score"]) / 2 for mask in found])
    best = np.argsort(-scores, kind="stable")[:most]
    rles: list[Any] = [found[i]["segmentation"] for i in best]
    return RankedMasks(rles, scores[best])


def felzenszwalb_proposals(image: UInt8[np.ndarray, "h w 3"]) -> RankedMasks:
    """Segments of Felzenszwalb and Huttenlocher's graph-based segmentation, a method without learning to compare with.

    Segments of three scales come together, the largest first, since nothing else tells how good they are.

    Args:
        image: RGB photo.
    """
    found: set[tuple[int, str]] = set()
    for scale in FELZENSZWALB_SCALES:
        segments = find_label_runs(felzenszwalb_segments(image, scale) + 1)
        for label in np.unique(segments.labels).tolist():
            runs = segments.of(label)
            found.add((runs.area, str(encode_runs(runs)["counts"])))
    best = sorted(found, reverse=True)[:MOST]
    size = [image.shape[0], image.shape[1]]
    return RankedMasks(
        [Rle(size=size, counts=counts) for _, counts in best],
        np.array([float(area) for area, _ in best]),
    )


def proposal_methods(
    names: Sequence[str], model: Model | None = None, config: ProposalConfig | None = None
) -> list[Method[Proposer]]:
    """Methods of the proposal experiment by name.

    Args:
        names: Names from `PROPOSAL_METHODS`.
        model: Model with its weights for the methods `sam` and `sam-single`; it is copied to every device of this
            machine.
        config: How proposals are made, for both; the name decides over `multimask_output`. None for the paper's
            configuration.

    Raises:
        InputError: A name is unknown, or a model is needed and there is none.
    """
    check_method_names(names, PROPOSAL_METHODS)
    of_model = [name for name in names if name != FELZENSZWALB]
    copies = copy_model(model, of_model[0]) if of_model else None
    return [_make_method(name, copies, config or ProposalConfig()) for name in names]


def encode_runs(runs: Runs) -> Rle:
    """A mask's runs as run lengths, with counts as COCO's string."""
    edges = np.stack([runs.starts, runs.ends], axis=1).ravel()
    counts = np.diff(edges, prepend=0, append=runs.size[0] * runs.size[1])
    return Rle(size=list(runs.size), counts=compress_counts(counts.tolist()))


def _make_method(name: str, copies: ModelCopies | None, config: ProposalConfig) -> Method[Proposer]:
    if copies is None or name == FELZENSZWALB:
        return Method(name=name, copies=[felzenszwalb_proposals])
    config = replace(config, multimask_output=name == SAM)
    proposers = [sam_proposer(model, config) for model in copies.models]
    settings = {"config": asdict(config), **copies.settings}
    return Method(name=name, copies=proposers, settings=settings)
