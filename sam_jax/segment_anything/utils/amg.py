"""What the official generator of automatic masks is made of, and scripts import one by one.

Tensors of PyTorch come out where tensors go in, arrays otherwise.
"""

import copy
from collections.abc import ItemsView, Iterator, Sequence
from typing import Any

import numpy as np

from sam_jax.inference.crops import make_point_grid, plan_crops
from sam_jax.ops import regions
from sam_jax.ops.boxes import mask_to_box_xyxy
from sam_jax.ops.rle import Rle, compress_counts, decode_rle, encode_rle
from sam_jax.segment_anything.tensors import Tensor, as_array, is_tensor, join, like
from sam_jax.types import InputError


class MaskData:
    """Masks and what belongs to them, as columns of equal length.

    Args:
        columns: Lists, arrays or tensors by name.
    """

    def __init__(self, **columns: Any) -> None:
        self._columns: dict[str, Any] = {}
        for name, column in columns.items():
            self[name] = column

    def __setitem__(self, key: str, item: Any) -> None:
        if not (isinstance(item, list | np.ndarray) or is_tensor(item)):
            raise InputError(f"{key} is a list, an array or a tensor, not {type(item).__name__}")
        self._columns[key] = item

    def __delitem__(self, key: str) -> None:
        del self._columns[key]

    def __getitem__(self, key: str) -> Any:
        return self._columns[key]

    def items(self) -> ItemsView[str, Any]:
        """The columns by name."""
        return self._columns.items()

    def filter(self, keep: Any) -> None:
        """Drops rows.

        Args:
            keep: A flag for each row, or the indices of the rows to keep.
        """
        chosen = as_array(keep)
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        for name, column in self.items():
            if isinstance(column, list):
                self[name] = [column[row] for row in rows]
            else:
                self[name] = column[like(rows, column)]

    def cat(self, new_stats: "MaskData") -> None:
        """Adds rows.

        Args:
            new_stats: Rows to add, with the same columns.
        """
        for name, column in new_stats.items():
            if name not in self._columns:
                self[name] = copy.deepcopy(column)
            elif isinstance(column, list):
                self[name] = self[name] + column
            else:
                self[name] = join([self[name], column])

    def to_numpy(self) -> None:
        """Makes arrays of tensors."""
        for name, column in self.items():
            if is_tensor(column):
                self[name] = as_array(column)


def is_box_near_crop_edge(
    boxes: Tensor, crop_box: Sequence[int], orig_box: Sequence[int], atol: float | int = 20.0
) -> Tensor:
    """Which boxes come near an edge of the crop that isn't an edge of the image.

    Args:
        boxes: Boxes n × 4, x0, y0, x1, y1 in pixels of the crop.
        crop_box: The crop in the image.
        orig_box: The image, from 0, 0.
        atol: Distance in pixels that is near.
    """
    placed = as_array(uncrop_boxes_xyxy(boxes, crop_box)).astype(np.float32)
    near_crop, near_image = (
        np.abs(placed - np.array(edges, np.float32)) <= atol for edges in (crop_box, orig_box)
    )
    return like(np.any(near_crop & ~near_image, axis=1), boxes)


def box_xyxy_to_xywh(box_xyxy: Tensor) -> Tensor:
    """A box x, y, width, height.

    Args:
        box_xyxy: Box x0, y0, x1, y1.
    """
    box = np.array(as_array(box_xyxy))
    box[2:] -= box[:2]
    return like(box, box_xyxy)


def batch_iterator(batch_size: int, *args: Any) -> Iterator[list[Any]]:
    """Parts of several sequences of one length, so many elements of each at a time.

    Args:
        batch_size: Number of elements of a part.
        args: The sequences.

    Raises:
        InputError: The sequences have different lengths.
    """
    if len({len(sequence) for sequence in args}) != 1:
        raise InputError(f"sequences of one length are needed, not {[len(x) for x in args]}")
    for start in range(0, len(args[0]), batch_size):
        yield [sequence[start : start + batch_size] for sequence in args]


def mask_to_rle_pytorch(tensor: Tensor) -> list[Rle]:
    """Run lengths of masks.

    Args:
        tensor: Masks b × h × w.
    """
    return [encode_rle(mask) for mask in as_array(tensor).astype(bool)]


def rle_to_mask(rle: Rle) -> np.ndarray:
    """The mask of run lengths.

    Args:
        rle: Run lengths, as numbers.
    """
    return decode_rle(rle)


def area_from_rle(rle: Rle) -> int:
    """Number of the mask's pixels.

    Args:
        rle: Run lengths, as numbers.
    """
    return sum(rle["counts"][1::2])  # pyright: ignore[reportArgumentType, reportCallIssue]


def calculate_stability_score(
    masks: Tensor, mask_threshold: float | int, threshold_offset: float | int
) -> Tensor:
    """IoU of each mask with itself at a lower and a higher threshold.

    Args:
        masks: Logits, whose last axes are h × w.
        mask_threshold: Threshold of a mask.
        threshold_offset: Distance of both thresholds from it.
    """
    logits = as_array(masks)
    inner, outer = (
        (logits > threshold).sum(axis=(-2, -1)).astype(np.float32)
        for threshold in (mask_threshold + threshold_offset, mask_threshold - threshold_offset)
    )
    with np.errstate(invalid="ignore"):  # a mask without pixels has no score
        return like(inner / outer, masks)


def build_point_grid(n_per_side: int) -> np.ndarray:
    """An even grid of points x, y in the unit square.

    Args:
        n_per_side: Number of points along each side.
    """
    return make_point_grid(n_per_side)


def build_all_layer_point_grids(
    n_per_side: int, n_layers: int, scale_per_layer: int
) -> list[np.ndarray]:
    """The grid of the image, and those of the layers of crops.

    Args:
        n_per_side: Number of points along each side of the image.
        n_layers: Number of layers of crops.
        scale_per_layer: Factor by which grids become coarser from layer to layer.
    """
    return [
        build_point_grid(int(n_per_side / scale_per_layer**layer)) for layer in range(n_layers + 1)
    ]


def generate_crop_boxes(
    im_size: tuple[int, ...], n_layers: int, overlap_ratio: float | int
) -> tuple[list[list[int]], list[int]]:
    """Boxes of the image and of its crops, and the layer of each.

    Args:
        im_size: Height and width of the image.
        n_layers: Number of layers of crops.
        overlap_ratio: Overlap of neighbouring crops, as a share of the image's shorter side.
    """
    height, width = im_size
    crops = plan_crops((height, width), n_layers, overlap_ratio)
    return [list(crop.box) for crop in crops], [crop.layer for crop in crops]


def uncrop_boxes_xyxy(boxes: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Boxes in pixels of the image.

    Args:
        boxes: Boxes whose last axis is x0, y0, x1, y1 in pixels of the crop.
        crop_box: The crop in the image.
    """
    x0, y0, _, _ = crop_box
    return boxes + like(np.array([x0, y0, x0, y0]), boxes)


def uncrop_points(points: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Points in pixels of the image.

    Args:
        points: Points whose last axis is x, y in pixels of the crop.
        crop_box: The crop in the image.
    """
    x0, y0, _, _ = crop_box
    return points + like(np.array([x0, y0]), points)


def uncrop_masks(masks: Tensor, crop_box: Sequence[int], orig_h: int, orig_w: int) -> Tensor:
    """Masks of the image, empty outside of the crop.

    Args:
        masks: Masks n × h × w of the crop.
        crop_box: The crop in the image.
        orig_h: Height of the image.
        orig_w: Width of the image.
    """
    x0, y0, x1, y1 = crop_box
    if (x0, y0, x1, y1) == (0, 0, orig_w, orig_h):
        return masks
    margins = ((0, 0), (y0, orig_h - y1), (x0, orig_w - x1))
    return like(np.pad(as_array(masks), margins), masks)


def remove_small_regions(
    mask: np.ndarray, area_thresh: float | int, mode: str
) -> tuple[np.ndarray, bool]:
    """The mask without small holes or small islands, and whether there were any.

    Args:
        mask: Mask h × w.
        area_thresh: Area in pixels below which a region is small.
        mode: Regions to remove: "holes" or "islands".

    Raises:
        InputError: The mode is another one.
    """
    match mode:
        case "holes" | "islands":
            return regions.remove_small_regions(np.asarray(mask, bool), area_thresh, mode)
    raise InputError(f'mode is "holes" or "islands", not {mode!r}')


def coco_encode_rle(uncompressed_rle: Rle) -> Rle:
    """The run lengths as COCO's string.

    Args:
        uncompressed_rle: Run lengths, as numbers.
    """
    counts = compress_counts(uncompressed_rle["counts"])  # pyright: ignore[reportArgumentType]
    return Rle(size=list(uncompressed_rle["size"]), counts=counts)


def batched_mask_to_box(masks: Tensor) -> Tensor:
    """Boxes x0, y0, x1, y1 around masks, all inside the mask; zeros for an empty mask.

    Args:
        masks: Masks, whose last axes are h × w.
    """
    pixels = as_array(masks).astype(bool)
    *batch, height, width = pixels.shape
    if pixels.size == 0:
        return like(np.zeros((*batch, 4), np.float32), masks)
    boxes = [mask_to_box_xyxy(mask) for mask in pixels.reshape(-1, height, width)]
    return like(np.stack(boxes).reshape(*batch, 4), masks)
