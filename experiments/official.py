"""The official PyTorch code, to compare with: `from experiments.official import segment_anything`.

It imports four functions of torchvision. Where torchvision is not installed, small stand-ins take their
place while it is imported, and are gone afterwards, so that other packages (`transformers`) see what is true.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import torch
from PIL import Image


def resize(image: Image.Image, size: Sequence[int]) -> Image.Image:
    """Resize to (height, width) as torchvision does for PIL images: bilinear with antialias."""
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def to_pil_image(pixels: np.ndarray) -> Image.Image:
    """Wrap 8-bit RGB."""
    return Image.fromarray(pixels)


def box_area(boxes: torch.Tensor) -> torch.Tensor:
    """Areas of (n, 4) boxes x0, y0, x1, y1."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Greedy non-maximum suppression within each category; indices of what stays, best first."""
    keep = []
    order = torch.argsort(scores, descending=True, stable=True)
    while len(order) > 0:
        best, rest = order[0], order[1:]
        keep.append(best)
        corner_0 = torch.maximum(boxes[best, :2], boxes[rest, :2])
        corner_1 = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = (corner_1 - corner_0).clamp(min=0).prod(dim=1)
        iou = shared / (box_area(boxes[best, None]) + box_area(boxes[rest]) - shared)
        # Boxes without area, 0 / 0, stay, as in torchvision.
        order = rest[~(iou > iou_threshold) | (idxs[rest] != idxs[best])]
    return torch.stack(keep) if keep else torch.zeros(0, dtype=torch.long)


@contextlib.contextmanager
def _torchvision() -> Iterator[None]:
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    contents = {
        "torchvision": {},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {"resize": resize, "to_pil_image": to_pil_image},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"batched_nms": batched_nms, "box_area": box_area},
    }
    for name, functions in contents.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(functions)
    try:
        yield
    finally:
        for name in contents:
            del sys.modules[name]


with _torchvision():
    import segment_anything
    import segment_anything.modeling

__all__ = ["segment_anything"]
