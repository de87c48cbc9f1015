"""Models as ONNX: a decoder in place of the official one, and an encoder, which the official exporter lacks."""

from functools import partial
from typing import Any

import jax
import numpy as np
import onnx

import sam_jax
from sam_jax.data.framing import PIXEL_MEAN, PIXEL_STD
from sam_jax.export.lowering import Context, Graph, Tensor, Value, lower, make_context
from sam_jax.export.options import (
    FREE_POINTS,
    DecoderOptions,
    compute_at_once,
)
from sam_jax.export.packing import find_packing
from sam_jax.export.postprocessing import FREE_SIDES, crop, enlarge, frame_photo
from sam_jax.export.programs import decode_prompt, encode_image
from sam_jax.models import Model

FLOAT = np.dtype(np.float32)


def make_decoder(
    model: Model,
    options: DecoderOptions = DecoderOptions(),  # noqa: B008  (frozen)
    *,
    dtype: str = "float32",
) -> onnx.ModelProto:
    """The prompt encoder and mask decoder as an ONNX model that takes the place of the official exporter's.

    Inputs, all float32: `image_embeddings`, `point_coords` in the padded input, `point_labels`, `mask_input`,
    `has_mask_input`, and unless `options.outputs` is "low" `orig_im_size`. Outputs: `masks` (unless "low"),
    `iou_predictions`, `low_res_masks`; for CVAT also the box.

    Args:
        model: Model with its weights.
        options: What the decoder gives.
        dtype: Type in which weights are stored; all is computed in float32.

    Raises:
        InputError: An operation of the model has no form in ONNX.
    """
    model, context = compute_at_once(model), make_context(Graph())
    packing, frame = find_packing(model), model.config.image_encoder.image_size
    gh, gw = packing.grid
    (points,) = jax.export.symbolic_shape(FREE_POINTS)
    shapes = {
        "image_embeddings": (1, packing.channels, gh, gw),
        "point_coords": (1, points, 2),
        "point_labels": (1, points),
        "mask_input": (1, 1, 4 * gh, 4 * gw),
        "has_mask_input": (1,),
    }
    inputs = [context.value(name, shape, FLOAT) for name, shape in shapes.items()]
    low, iou = lower(context, partial(decode_prompt, model, packing, options.masks), inputs)
    outputs = [_output(context, iou, "iou_predictions"), _output(context, low, "low_res_masks")]
    if options.outputs != "low":
        size = context.value("orig_im_size", (2,), FLOAT)
        inputs.append(size)
        masks, box = enlarge(context, low, size, frame), []
        if options.outputs == "cvat":
            masks, box = crop(context, masks)
        context.graph.name_output(masks.name, "masks")
        outputs = [masks._replace(name="masks"), *outputs, *box]
    about = {"part": "decoder", "masks": options.masks, "outputs": options.outputs}
    return _finish(context, model, inputs, outputs, about, dtype)


def make_encoder(model: Model, *, raw: bool = False, dtype: str = "float32") -> onnx.ModelProto:
    """The image encoder as an ONNX model.

    Its output is `image_embeddings`, which `make_decoder`'s model takes.

    Args:
        model: Model with its weights.
        raw: Whether the input is `input_image`, a photo of height x width x 3 numbers from 0 to 255 of any size, which
            the model resizes, normalises and pads; otherwise it is `x`, a normalised and padded image with channels
            first.
        dtype: Type in which weights are stored; all is computed in float32.

    Raises:
        InputError: An operation of the model has no form in ONNX.
    """
    model, context = compute_at_once(model), make_context(Graph())
    packing, frame = find_packing(model), model.config.image_encoder.image_size
    if raw:
        sides = tuple(jax.export.symbolic_shape(", ".join(FREE_SIDES)))
        photo = context.value("input_image", (*sides, 3), FLOAT)
        inputs, pixels = [photo], frame_photo(context, photo, frame, PIXEL_MEAN, PIXEL_STD)
    else:
        pixels = context.value("x", (1, 3, *frame), FLOAT)
        inputs = [pixels]
    [embedding] = lower(context, partial(encode_image, model, packing), [pixels])
    outputs = [_output(context, embedding, "image_embeddings")]
    about = {"part": "encoder", "input": "photo" if raw else "normalised"}
    return _finish(context, model, inputs, outputs, about, dtype)


def _output(context: Context, value: Value, name: str) -> Tensor:
    context.graph.name_output(context.whole(value), name)
    return Tensor(name, value.dtype, [int(size) for size in value.shape])


def _finish(
    context: Context,
    model: Model,
    inputs: list[Value],
    outputs: list[Tensor],
    about: dict[str, str],
    dtype: str,
) -> onnx.ModelProto:
    height, width = model.config.image_encoder.image_size
    entries = {**about, "image_size": f"{height},{width}", "sam_jax": sam_jax.__version__}
    named = [
        Tensor(
            value.name, value.dtype, [size if _is_int(size) else str(size) for size in value.shape]
        )
        for value in inputs
    ]
    return context.graph.model(named, outputs, about=entries, weights=np.dtype(dtype))


def _is_int(size: Any) -> bool:
    return isinstance(size, int)
