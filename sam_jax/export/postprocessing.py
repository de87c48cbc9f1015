"""What an exported decoder does after the model: masks at the photo's size, and boxes of them.

Sizes that depend on numbers that go in are beyond a JAX program, so the nodes are made here one by one.
"""

from typing import Any

import numpy as np

from sam_jax.export.lowering import Context, Tensor, Value
from sam_jax.export.lowering.graph import element_type

_FLOAT, _INT32, _INT64, _UINT8 = (
    element_type(dtype) for dtype in (np.float32, np.int32, np.int64, np.uint8)
)

FREE_SIDES = ("height", "width")
"""Names of the sides of a photo, and of what is cropped from it, in ONNX files."""


def enlarge(context: Context, logits: Value, photo_size: Value, frame: tuple[int, int]) -> Tensor:
    """Logits at the photo's size, by the two official steps: enlarged to the frame, cropped, resized to the photo.

    Args:
        context: Graph in the making.
        logits: Low-resolution logits 1 × m × h × w.
        photo_size: Height and width of the photo, as float32.
        frame: Height and width of the model's padded input.
    """
    graph, name = context.graph, context.held(photo_size)
    fitted = _fit(context, name, frame)
    count = logits.shape[1]
    in_frame = _resize(context, context.whole(logits), graph.constant((1, count, *frame), np.int64))
    cropped = graph.node(
        "Slice",
        in_frame,
        graph.constant([0, 0], np.int64),
        fitted,
        graph.constant([2, 3], np.int64),
    )
    leading = graph.constant([1, count], np.int64)
    sizes = graph.node("Concat", leading, graph.node("Cast", name, to=_INT64), axis=0)
    return Tensor(_resize(context, cropped, sizes), np.dtype(np.float32), [1, count, *FREE_SIDES])


def crop(context: Context, masks: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What CVAT expects: the masks as bytes 0 and 1, cropped to the box around them, and the box.

    Args:
        context: Graph in the making.
        masks: Logits at the photo's size, 1 × m × h × w.

    Returns:
        The masks, and first column, first row, last column and last row of the box, which are 0 for empty masks.
    """
    graph = context.graph
    is_inside = graph.node("Greater", masks.name, graph.constant(0, np.float32))
    inside = graph.node("Cast", is_inside, to=_UINT8)
    numbers = graph.node("Cast", is_inside, to=_INT32)
    edges: dict[str, tuple[str, str]] = {}
    for axis, other in (("y", 3), ("x", 2)):
        found = graph.node(
            "ReduceMax", numbers, graph.constant([0, 1, other], np.int64), keepdims=0
        )
        first = graph.node("ArgMax", found, axis=0, keepdims=1)
        last = graph.node("ArgMax", found, axis=0, keepdims=1, select_last_index=1)
        any_there = graph.node("ReduceMax", found, graph.constant([0], np.int64), keepdims=1)
        last = graph.node("Mul", last, graph.node("Cast", any_there, to=_INT64))
        edges[axis] = first, last
    one = graph.constant([1], np.int64)
    cropped = graph.node(
        "Slice",
        inside,
        graph.node("Concat", edges["y"][0], edges["x"][0], axis=0),
        graph.node(
            "Concat",
            *(graph.node("Add", edges[axis][1], one) for axis in ("y", "x")),
            axis=0,
        ),
        graph.constant([2, 3], np.int64),
    )
    corners = zip(
        ("xtl", "ytl", "xbr", "ybr"),
        (edges["x"][0], edges["y"][0], edges["x"][1], edges["y"][1]),
        strict=True,
    )
    box = []
    for name, edge in corners:
        graph.name_output(graph.node("Cast", edge, to=_INT32), name)
        box.append(Tensor(name, np.dtype(np.int32), [1]))
    shape = [1, masks.shape[1], "box_height", "box_width"]
    return Tensor(cropped, np.dtype(np.uint8), shape), box


def _resize(context: Context, name: str, sizes: str, **attributes: Any) -> str:
    """Bilinear resizing between the centres of pixels."""
    return context.graph.node(
        "Resize",
        name,
        "",
        "",
        sizes,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        **attributes,
    )


def frame_photo(
    context: Context,
    photo: Value,
    frame: tuple[int, int],
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
) -> Value:
    """A photo resized as Pillow does it, normalised, padded with zeros, and with channels first.

    Args:
        context: Graph in the making.
        photo: Photo of height × width × 3 numbers from 0 to 255.
        frame: Height and width of the model's padded input.
        mean: Mean of each colour.
        deviation: Standard deviation of each colour.
    """
    graph = context.graph
    shape = graph.node("Shape", photo.name, start=0, end=2)
    fitted = _fit(context, graph.node("Cast", shape, to=_FLOAT), frame)
    bytes_ = graph.node("Cast", graph.node("Round", photo.name), to=_UINT8)
    planes = graph.node(
        "Unsqueeze",
        graph.node("Transpose", bytes_, perm=[2, 0, 1]),
        graph.constant([0], np.int64),
    )
    leading = graph.constant([1, 3], np.int64)
    sizes = graph.node("Concat", leading, fitted, axis=0)
    resized = graph.node(
        "Cast", _resize(context, planes, sizes, antialias=1, exclude_outside=1), to=_FLOAT
    )
    of_colours = (
        graph.constant(np.reshape(numbers, (1, 3, 1, 1)), np.float32)
        for numbers in (mean, deviation)
    )
    normalised = graph.node("Div", graph.node("Sub", resized, next(of_colours)), next(of_colours))
    missing = graph.node("Sub", graph.constant(frame, np.int64), fitted)
    pads = graph.node("Concat", graph.constant([0] * 6, np.int64), missing, axis=0)
    padded = graph.node("Pad", normalised, pads)
    return context.value(padded, (1, 3, *frame), np.float32)


def _fit(context: Context, size: str, frame: tuple[int, int]) -> str:
    """Height and width that a photo is resized to, to fit into the frame (`sam_jax.ops.resize.fit_size`)."""
    graph = context.graph
    ratios = graph.node("Div", graph.constant(frame, np.float32), size)
    scale = graph.node("ReduceMin", ratios, graph.constant([0], np.int64))
    scaled = graph.node("Add", graph.node("Mul", scale, size), graph.constant(0.5, np.float32))
    fitted = graph.node("Cast", graph.node("Floor", scaled), to=_INT64)
    return graph.node("Max", fitted, graph.constant(1, np.int64))
