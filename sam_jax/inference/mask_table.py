"""Masks that were found in an image or in a crop of it, as columns of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int

from sam_jax.inference.crops import Crop
from sam_jax.inference.survivors import PackedMask
from sam_jax.ops.rle import Rle, encode_packed

Form = TypeVar("Form", bound=PackedMask | Rle, covariant=True)


@dataclass(frozen=True)
class MaskTable(Generic[Form]):
    """Masks found so far, as columns of a table; all in the image's pixels.

    Attributes:
        masks: The masks, as bits or as run lengths.
        boxes: Boxes x0, y0, x1, y1 of the masks.
        iou: Predicted IoU of the masks.
        stability: Stability scores of the masks.
        points: Points x, y that the model was prompted with.
        crops: Crops that the masks were found in.
    """

    masks: Sequence[Form]
    boxes: Int[np.ndarray, "n 4"]
    iou: Float[np.ndarray, " n"]
    stability: Float[np.ndarray, " n"]
    points: Float[np.ndarray, "n 2"]
    crops: list[Crop]

    def take(self, indices: Int[np.ndarray, " k"]) -> "MaskTable[Form]":
        """Some of the rows."""
        return MaskTable(
            [self.masks[i] for i in indices],
            self.boxes[indices],
            self.iou[indices],
            self.stability[indices],
            self.points[indices],
            [self.crops[i] for i in indices],
        )


def join_tables(parts: Sequence[MaskTable[Form]]) -> MaskTable[Form]:
    """One table under the other."""
    return MaskTable(
        [mask for part in parts for mask in part.masks],
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.iou for part in parts]),
        np.concatenate([part.stability for part in parts]),
        np.concatenate([part.points for part in parts]),
        [crop for part in parts for crop in part.crops],
    )


def write_runs(found: MaskTable[PackedMask | Rle], image_size: tuple[int, int]) -> MaskTable[Rle]:
    """The table with every mask as run lengths."""
    rles = [
        encode_packed(mask.bits, mask.corner, image_size) if isinstance(mask, PackedMask) else mask
        for mask in found.masks
    ]
    return MaskTable(rles, found.boxes, found.iou, found.stability, found.points, found.crops)
