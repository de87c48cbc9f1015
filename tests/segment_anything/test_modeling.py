"""The model and its parts: weights, modes, devices, gradients, and what they refuse."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from experiments.official import segment_anything
from sam_jax import InputError, Model, load
from sam_jax.models import VIT_B, init_variables
from sam_jax.segment_anything import SamPredictor, build_sam, build_sam_vit_h, sam_model_registry
from sam_jax.segment_anything.build_sam import wrap_model
from sam_jax.segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from sam_jax.segment_anything.modeling.image_encoder import window_partition, window_unpartition
from sam_jax.segment_anything.utils.onnx import SamOnnxModel
from tests.segment_anything.conftest import SMALL, assert_alike


def test_weights_have_official_names_and_values(sam, official_sam):
    assert_alike(dict(official_sam.state_dict()), dict(sam.state_dict()))
    for kind in ("named_parameters", "named_buffers"):
        theirs, mine = ([name for name, _ in getattr(one, kind)()] for one in (official_sam, sam))
        assert mine == theirs
    assert sam.prompt_encoder.point_embeddings[2].weight.shape == (1, 32)
    for one, other in zip(sam.image_encoder.blocks, official_sam.image_encoder.blocks, strict=True):
        assert_alike(other.attn.qkv.bias, one.attn.qkv.bias)


def test_registry():
    keys = ["default", "vit_h", "vit_l", "vit_b"]
    assert list(sam_model_registry)[:4] == keys == list(segment_anything.sam_model_registry)
    assert sam_model_registry["default"] is build_sam is build_sam_vit_h


def test_text_prompts_are_left_out():
    encoder = replace(SMALL.prompt_encoder, text_width=3)
    config = replace(SMALL, prompt_encoder=encoder)
    plain, with_text = (wrap_model(Model(c, init_variables(c))) for c in (SMALL, config))
    assert_alike(dict(plain.state_dict()), dict(with_text.state_dict()))


def assemble(package):
    """The small model out of its parts, by one of both packages."""
    modeling = package
    return modeling.Sam(
        modeling.ImageEncoderViT(
            depth=2,
            embed_dim=24,
            img_size=128,
            mlp_ratio=3.0,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=3,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=[0],
            window_size=3,
            out_chans=32,
        ),
        modeling.PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=16
        ),
        modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=32, mlp_dim=40, num_heads=8
            ),
            transformer_dim=32,
            iou_head_depth=3,
            iou_head_hidden_dim=12,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


class Ours:
    """The names of our modeling package."""

    ImageEncoderViT, PromptEncoder, MaskDecoder = ImageEncoderViT, PromptEncoder, MaskDecoder
    Sam, TwoWayTransformer = Sam, TwoWayTransformer


def test_a_model_of_parts_takes_official_weights(checkpoint, sam):
    built = assemble(Ours)
    before = built.image_encoder.variables()
    report = built.load_state_dict(torch.load(checkpoint))
    assert (report.missing_keys, report.unexpected_keys) == ([], [])
    assert built.as_model().config == SMALL == sam.as_model().config
    after, expected = (one.image_encoder.variables() for one in (built, sam))
    position = ("params", "image_encoder", "pos_embed")
    for key in position:
        before, after, expected = before[key], after[key], expected[key]
    np.testing.assert_array_equal(after, expected)
    assert np.abs(before - after).max() > 0.1
    with pytest.raises(RuntimeError, match="Missing key"):
        built.load_state_dict({})
    described = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
    official = assemble(segment_anything.modeling).state_dict()
    assert described == {name: tuple(tensor.shape) for name, tensor in official.items()}


def test_modes_and_devices(sam):
    for moved in (
        sam.eval(),
        sam.train(),
        sam.to("cuda"),
        sam.to(device="cuda:1"),
        sam.to("a device of tomorrow"),
        sam.to(torch.device("cuda")),
        sam.cuda(),
        sam.cpu(),
        sam.float(),
        sam.requires_grad_(False),
    ):
        assert moved is sam
    assert sam.device == SamPredictor(sam).device == torch.device("cpu")
    assert next(sam.parameters()).device == torch.device("cpu")


def test_half_precision_is_that_of_the_weights(sam):
    kept = sam.prompt_encoder.get_dense_pe()
    sam.half()
    assert sam.prompt_encoder.get_dense_pe().dtype == torch.float16
    np.testing.assert_allclose(sam.prompt_encoder.get_dense_pe(), kept, atol=2e-2)
    tokens, _ = sam.prompt_encoder(None, torch.tensor([[1.0, 2.0, 30.0, 40.0]]), None)
    assert tokens.dtype == torch.float16


def test_changed_weights_are_seen(sam):
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    with torch.no_grad():
        before, _ = sam.prompt_encoder(None, boxes, None)
        sam.prompt_encoder.point_embeddings[2].weight.add_(1)
        after, _ = sam.prompt_encoder(None, boxes, None)
        sam.prompt_encoder.point_embeddings[3].weight.data.add_(2)
        again, _ = sam.prompt_encoder(None, boxes, None)
    np.testing.assert_allclose(after[:, 0], before[:, 0] + 1, atol=1e-5)
    np.testing.assert_array_equal(after[:, 1], before[:, 1])
    np.testing.assert_allclose(again[:, 1], before[:, 1] + 2, atol=1e-5)
    copied, _ = copy.deepcopy(sam.prompt_encoder)(None, boxes, None)
    np.testing.assert_array_equal(copied.detach(), again)


def test_gradients_of_prompts_and_images(sam, official_sam):
    gradients = []
    for model in (official_sam, sam):
        masks = torch.full((2, 1, 32, 32), 0.5, requires_grad=True)
        boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0], [5.0, 6.0, 70.0, 80.0]])
        pixels = torch.linspace(0, 255, 3 * 50 * 128).reshape(3, 50, 128).requires_grad_()
        sparse, dense = model.prompt_encoder(points=None, boxes=boxes, masks=masks)
        assert sparse.requires_grad
        (
            dense.square().mean()
            + sparse.square().mean()
            + model.preprocess(pixels).square().mean()
        ).backward()
        embeddings = model.prompt_encoder.point_embeddings[3].weight.grad
        kernel = model.prompt_encoder.mask_downscaling[0].weight.grad
        gradients.append((masks.grad, pixels.grad, embeddings, kernel))
    assert_alike(*gradients)


def test_windows():
    x = torch.rand(2, 7, 10, 3)
    official = segment_anything.modeling.image_encoder
    windows, padded = window_partition(x, 4)
    assert_alike(official.window_partition(x, 4), (windows, padded))
    assert padded == (8, 12)
    assert_alike(x, window_unpartition(windows, 4, padded, (7, 10)))


REFUSALS = {
    "relative positions": (lambda: ImageEncoderViT(), "use_rel_pos is False"),
    "another epsilon": (
        lambda: ImageEncoderViT(use_rel_pos=True, norm_layer=torch.nn.LayerNorm),
        "epsilon of norm_layer is 1e-05",
    ),
    "another activation": (
        lambda: PromptEncoder(32, (8, 8), (128, 128), 8, activation=torch.nn.ReLU),
        "activation is ReLU: every Segment Anything has GELU",
    ),
    "another grid": (lambda: PromptEncoder(32, (8, 9), (128, 128), 8), "is not a sixteenth"),
    "another transformer": (
        lambda: MaskDecoder(transformer_dim=32, transformer=torch.nn.Identity()),
        "not Identity",
    ),
    "a transformer on its own": (lambda: TwoWayTransformer(2, 32, 8, 40)(1, 2, 3), "call that"),
    "ONNX of something else": (
        lambda: SamOnnxModel(None, True),
        "sam_model_registry, not of NoneType",
    ),
    "an oblong input": (
        lambda: wrap_model(Model(VIT_B.with_image_size((96, 144)), {})),
        "not 96x144",
    ),
    "a model of the core": (lambda: SamPredictor(load()), "wrap_model"),
}


@pytest.mark.parametrize(("make", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_are_one_line(make, message):
    with pytest.raises(InputError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_layers_that_are_replaced_are_refused(sam):
    layer = sam.mask_decoder.iou_prediction_head.layers[2]
    with pytest.raises(InputError, match="can be called"):
        layer(torch.zeros(1, 12))
    with pytest.raises(InputError, match="can be called"):
        layer.register_forward_hook(print)
    sam.prompt_encoder.mask_downscaling.add_module("adapter", torch.nn.Linear(3, 3))
    with pytest.raises(
        InputError, match=r"mask_downscaling.adapter.bias.*need the official package"
    ):
        sam.prompt_encoder(None, torch.zeros(1, 4), None)


def test_prompts_that_do_not_fit(sam):
    encoder = sam.prompt_encoder
    points, labels = torch.zeros(2, 3, 2), torch.ones(2, 3)
    for arguments, message in (
        ({"points": (points, labels[:, :2])}, "n x p x 2"),
        ({"points": (points, labels * 7)}, "point label"),
        ({"points": (points, labels), "boxes": torch.zeros(3, 4)}, "3 boxes"),
        ({"masks": torch.zeros(1, 3, 32, 32)}, r"\(1, 1, 32, 32\), not \(1, 3, 32, 32\)"),
    ):
        with pytest.raises(InputError, match=message):
            encoder(**{"points": None, "boxes": None, "masks": None} | arguments)
    with pytest.raises(InputError, match="2 prompts go with one image"):
        sam.mask_decoder(torch.zeros(3, 32, 8, 8), points, points, torch.zeros(2, 32, 8, 8), True)
