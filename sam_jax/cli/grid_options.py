"""Options of the automatic mask generator, which `sam-jax generate` and `sam-jax engine generate` share."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from sam_jax.cli.options import UNSET

if TYPE_CHECKING:
    from sam_jax.models import AutomaticThresholds


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Settings of the automatic mask generator, named as in the official one."""

    points_per_side: int = 32
    """Points along each side of the grid of prompts."""
    points_per_batch: int = 64
    """Points that are decoded together. More points take more memory."""
    pred_iou_thresh: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint=UNSET)] = None
    """Masks with a lower predicted IoU are dropped. The default goes with the weights: officially 0.88."""
    stability_score_thresh: Annotated[
        float | None, arg(metavar="FLOAT", help_behavior_hint=UNSET)
    ] = None
    """Masks with a lower stability score (0 to 1) are dropped. The default goes with the weights: officially 0.95."""
    stability_score_offset: float = 1.0
    """How much the edge of a mask is moved, in and out, to see how stable the mask is."""
    box_nms_thresh: float = 0.7
    """Of two masks whose boxes overlap by more than this IoU, the one of lower predicted IoU is dropped."""
    crop_n_layers: int = 0
    """How often the photo is searched again in smaller parts: 1 for 2 x 2 parts, 2 for 4 x 4 more, ..."""
    crop_nms_thresh: float = 0.7
    """Like --box-nms-thresh, between masks of different parts."""
    crop_overlap_ratio: float = 512 / 1500
    """Overlap of neighbouring parts, as a share of the photo's shorter side."""
    crop_n_points_downscale_factor: int = 1
    """How many times fewer points along a side of the grid smaller parts get."""
    min_mask_region_area: int = 0
    """Islands of fewer pixels than this are removed from masks, and holes of fewer pixels are filled."""
    max_area_share: float = 2.0
    """Masks that cover this share of the photo or more are dropped. A share above 1 drops none."""

    def arguments(self, usual: "AutomaticThresholds") -> dict[str, Any]:
        """The generator's arguments, with the thresholds that go with the weights where none are given.

        Args:
            usual: Thresholds that go with the weights.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return asdict(self) | asdict(usual) | given


PAPER_GRID = Grid(
    crop_n_layers=2,
    crop_n_points_downscale_factor=2,
    min_mask_region_area=100,
    max_area_share=0.95,
)
"""What `sam_jax.inference.automatic.SA1B` says, whose module takes long to import."""
