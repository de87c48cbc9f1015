"""What the official package exports to ONNX, to compare with."""

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch

import experiments.official  # it makes the package importable without torchvision

assert experiments.official.segment_anything is not None
SamOnnxModel: Any = importlib.import_module("segment_anything.utils.onnx").SamOnnxModel

INPUTS = (
    *("image_embeddings", "point_coords", "point_labels"),
    *("mask_input", "has_mask_input", "orig_im_size"),
)

"""Official inputs of the decoder, in order."""
OUTPUTS = ("masks", "iou_predictions", "low_res_masks")
"""Official outputs of the decoder, in order."""


def make_official_decoder(torch_model: Any, *, single: bool = False) -> Any:
    """The official model for export, with the crop that the official repository has today.

    The package of 2023 turns the size of the crop into a Python integer, so that its ONNX files fit only photos of the
    proportions that they were traced with.
    """

    class Decoder(SamOnnxModel):
        def mask_postprocessing(self, masks: torch.Tensor, orig_im_size: torch.Tensor) -> Any:
            resize: Any = torch.nn.functional.interpolate
            options: Any = {"mode": "bilinear", "align_corners": False}
            masks = resize(masks, size=(self.img_size, self.img_size), **options)
            height, width = self.resize_longest_image_size(orig_im_size, self.img_size)
            size = orig_im_size.to(torch.int64)
            return resize(masks[..., :height, :width], size=(size[0], size[1]), **options)

    return Decoder(torch_model, return_single_mask=single)


def export_official_decoder(torch_model: Any, path: Path, *, single: bool = False) -> None:
    """Write what the official scripts/export_onnx_model.py writes."""
    encoder = torch_model.prompt_encoder
    low = tuple(4 * side for side in encoder.image_embedding_size)
    dummies = (
        torch.randn(1, encoder.embed_dim, *encoder.image_embedding_size),
        torch.rand(1, 5, 2) * torch_model.image_encoder.img_size,
        torch.randint(0, 4, (1, 5)).float(),
        torch.randn(1, 1, *low),
        torch.tensor([1.0]),
        torch.tensor([1500.0, 2250.0]),
    )
    _export(
        make_official_decoder(torch_model, single=single),
        dummies,
        path,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_axes={"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}},
    )


def export_official_encoder(torch_model: Any, path: Path) -> None:
    """Write the image encoder, for which there is no official script, by PyTorch's exporter."""
    side = torch_model.image_encoder.img_size
    dummies = (torch.randn(1, 3, side, side),)
    names = {"input_names": ["x"], "output_names": ["image_embeddings"]}
    _export(torch_model.image_encoder, dummies, path, **names)


def _export(model: Any, dummies: tuple[torch.Tensor, ...], path: Path, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, dummies, str(path), opset_version=17, dynamo=False, **options)
