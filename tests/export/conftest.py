import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from experiments.official import segment_anything
from experiments.parity import Pair, make_pair
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
)

SMALL = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(128, 128),
        width=24,
        depth=2,
        num_heads=3,
        window_size=3,
        global_blocks=(1,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32, mask_channels=8),
    mask_decoder=MaskDecoderConfig(width=32, mlp_width=40, iou_head_width=12),
)
"""A grid of 8 x 8 patches, which windows of 3 don't fill; the official exporter knows only square inputs."""

INPUTS = (
    *("image_embeddings", "point_coords", "point_labels"),
    *("mask_input", "has_mask_input", "orig_im_size"),
)

Session = onnxruntime.InferenceSession


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def open_session() -> Callable[[Any], Session]:
    """Opens an ONNX model in memory, or a file."""

    def open_model(model: Any) -> Session:
        content = model.SerializeToString() if hasattr(model, "SerializeToString") else str(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return Session(content, options, providers=["CPUExecutionProvider"])

    return open_model


def official_decoder(torch_model: Any, *, single: bool = False) -> Any:
    """The official model for export, with the crop that its repository has today.

    The package of 2023 turns the size of the crop into a Python integer, so that its ONNX files fit only photos of the
    proportions that they were traced with.
    """
    from segment_anything.utils.onnx import SamOnnxModel

    class Decoder(SamOnnxModel):
        def mask_postprocessing(self, masks: torch.Tensor, orig_im_size: torch.Tensor) -> Any:
            resize = torch.nn.functional.interpolate
            options: Any = {"mode": "bilinear", "align_corners": False}
            masks = resize(masks, size=(self.img_size, self.img_size), **options)
            height, width = self.resize_longest_image_size(orig_im_size, self.img_size)
            size = orig_im_size.to(torch.int64)
            return resize(masks[..., :height, :width], size=(size[0], size[1]), **options)

    assert segment_anything is not None
    return Decoder(torch_model, return_single_mask=single)


def export_official(torch_model: Any, path: Any, *, single: bool = False) -> None:
    """What the official scripts/export_onnx_model.py does."""
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            official_decoder(torch_model, single=single),
            dummies,
            str(path),
            opset_version=17,
            input_names=list(INPUTS),
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}},
            dynamo=False,
        )


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)
