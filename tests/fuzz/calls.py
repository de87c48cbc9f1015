"""Calls of the Python interface drawn at random: hostile arrays, paths, numbers and records."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import sam_jax
from sam_jax import losses
from sam_jax.checkpoints import load_checkpoint, read_config
from sam_jax.data.images import read_image, read_mask
from sam_jax.data.sources import open_source
from sam_jax.inference.mask_prompts import mask_to_logits
from sam_jax.models import Compute
from sam_jax.ops.rle import decode_rle, decompress_counts, encode_rle
from tests.fuzz.commands import DATA, PHOTOS, WEIGHTS
from tests.fuzz.world import MODEL, SIZE

NUMBERS = [0, -1, 1, 2, 0.5, -0.5, 1e30, 3e38, np.nan, np.inf, -np.inf, None, "x", True, 10**20]


class Call(NamedTuple):
    """A call to try.

    Attributes:
        text: What is called, with what.
        function: Makes the call, and returns what it gives.
        is_door: Whether users pass what they have here: every complaint must be an InputError or RunError.
    """

    text: str
    function: Callable[[], Any]
    is_door: bool = True


@cache
def predictor() -> sam_jax.SamPredictor:
    """A predictor with an image."""
    made = sam_jax.SamPredictor(sam_jax.load("good.safetensors"))
    made.set_image(photo())
    return made


@cache
def photo() -> np.ndarray:
    """A good photo."""
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def draw_call(rng: random.Random, folder: Path) -> Call:
    """A call, to be made in the folder of the world."""
    return rng.choices(DRAWERS, WEIGHT)[0](rng)


def _array(rng: random.Random, shape: tuple[int, ...]) -> Any:
    """An array, often as it should be, else of about the shape, of any type and any values."""
    generator = np.random.default_rng(rng.randrange(1 << 30))
    if rng.random() < 0.6:
        return generator.uniform(0, 23, shape).astype(rng.choice(["f4", "f8", "i4"]))
    sides = list(shape)
    if rng.random() < 0.3 and sides:
        sides[rng.randrange(len(sides))] = rng.choice([0, 1, 2, 3, 4, 5])
    if rng.random() < 0.15:
        sides = sides[1:] if rng.random() < 0.5 else [1, *sides]
    values = generator.uniform(-4, 30, sides)
    if rng.random() < 0.3 and values.size:
        hostile = [np.nan, np.inf, 3e38, -3e38, 1e300, 1e7, -1e5]
        values.flat[rng.randrange(values.size)] = rng.choice(hostile)
    dtype = rng.choice([None, None, "f4", "f2", "i4", "u1", "?", "O", "c8", "U5"])
    with np.errstate(all="ignore"):
        array = values if dtype is None else values.astype(dtype)
    return rng.choice([array, array, array, array.tolist(), None, "photo.jpg"])


def _labels(rng: random.Random, shape: tuple[int, ...]) -> Any:
    if rng.random() < 0.1:
        return _array(rng, shape)
    return np.array(
        [
            rng.choice([0, 1, 1, 1, -1, 7 if rng.random() < 0.2 else 1])
            for _ in range(int(np.prod(shape)))
        ]
    ).reshape(shape)


def _set_image(rng: random.Random) -> Call:
    image = _array(rng, (rng.choice([24, 5, 1, 3]), 36, 3))
    if rng.random() < 0.8 and isinstance(image, np.ndarray) and image.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            image = np.nan_to_num(image).astype(np.uint8)
    order = rng.choice(["RGB", "RGB", "BGR", "BGR", "rgb", None, 3])
    fresh = sam_jax.SamPredictor(predictor().model)

    def call() -> Any:
        fresh.set_image(image, order)
        return fresh.get_image_embedding()

    return Call(f"set_image({_short(image)}, {order!r})", call)


def _predict(rng: random.Random) -> Call:
    count, has_points = rng.choice([1, 1, 2, 3]), rng.random() < 0.7
    arguments = {
        "point_coords": _array(rng, (count, 2)) if has_points else None,
        "point_labels": _labels(rng, (count,)) if has_points or rng.random() < 0.1 else None,
        "box": _array(rng, (4,)) if rng.random() < 0.3 else None,
        "mask_input": _array(rng, (1, 8, 8)) if rng.random() < 0.2 else None,
        "multimask_output": rng.choice([True, False, 1, None]),
        "return_logits": rng.choice([True, False]),
    }
    return Call(f"predict({_list(arguments)})", lambda: predictor().predict(**arguments))


def _predict_batch(rng: random.Random) -> Call:
    count, has_points = rng.choice([1, 2, 0]), rng.random() < 0.6
    arguments = {
        "point_coords": _array(rng, (count, 1, 2)) if has_points else None,
        "point_labels": _labels(rng, (count, 1)) if has_points or rng.random() < 0.1 else None,
        "boxes": _array(rng, (count, 4)) if rng.random() < 0.4 else None,
        "mask_inputs": _array(rng, (count, 8, 8)) if rng.random() < 0.2 else None,
        "multimask_output": rng.choice([True, False]),
    }
    return Call(
        f"predict_batch({_list(arguments)})", lambda: predictor().predict_batch(**arguments)
    )


def _generate(rng: random.Random) -> Call:
    arguments: dict[str, Any] = {"points_per_side": rng.choice([1, 2, 2, 0, -1, 1.5, None, "2"])}
    names = (
        "pred_iou_thresh",
        "stability_score_thresh",
        "stability_score_offset",
        "box_nms_thresh",
    )
    names += ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor")
    names += ("min_mask_region_area", "max_area_share", "points_per_batch", "images_per_batch")
    names += ("crop_n_layers", "output_mode")
    for name in rng.sample(names, rng.randint(0, 3)):
        arguments[name] = rng.choice(NUMBERS[:6] + NUMBERS[8:13])
    if rng.random() < 0.2:
        arguments["point_grids"] = [_array(rng, (2, 2))]
        arguments["points_per_side"] = None
    image = photo() if rng.random() < 0.7 else _array(rng, (24, 36, 3))
    model = (
        predictor().model if rng.random() < 0.9 else rng.choice(["photo.jpg", None, predictor()])
    )

    def call() -> Any:
        generator = sam_jax.SamAutomaticMaskGenerator(model, **arguments)
        records = generator.generate(image)
        for record in records:
            record.pop("stability_score")  # nan where a mask is empty at both thresholds
        return records

    return Call(f"generate({_list(arguments)}, {_short(image)})", call)


def _load(rng: random.Random) -> Call:
    path = rng.choice([*WEIGHTS, "good.safetensors", "x\0y"])
    size = rng.choice([None, None, 32, 48, (16, 48), 0, -16, 33, 1.5, "x", (1, 2, 3), True])
    function = rng.choice([sam_jax.load, read_config, load_checkpoint])
    if function is sam_jax.load and rng.random() < 0.1:
        path = rng.choice([3, b"x", photo(), MODEL])

    def call() -> Any:
        function(path, image_size=size)

    return Call(f"{function.__name__}({_short(path)}, image_size={size!r})", call)


def _read(rng: random.Random) -> Call:
    function = rng.choice([read_image, read_mask])
    path = rng.choice([*PHOTOS, "x\0y"])
    return Call(f"{function.__name__}({_short(path)})", lambda: function(path))


def _open(rng: random.Random) -> Call:
    place = rng.choice([*DATA, "x\0y"])

    def call() -> Any:
        from sam_jax.data.example import RecordError

        source = open_source(place)
        for index in range(min(2, len(source))):
            try:
                example = source[index]
            except RecordError:
                continue
            return [np.asarray(example.masks[k]) for k in range(len(example.masks))]
        return None

    return Call(f"open_source({_short(place)})", call)


def _draw(rng: random.Random) -> Call:
    image = photo() if rng.random() < 0.8 else _array(rng, (24, 36, 3))
    masks = _array(rng, (2, *SIZE))
    points = _array(rng, (2, 2)) if rng.random() < 0.3 else None
    labels = _labels(rng, (2,)) if rng.random() < 0.3 else None
    boxes = _array(rng, (1, 4)) if rng.random() < 0.3 else None
    function = rng.choice([sam_jax.show, sam_jax.draw_overlay])
    marks = {"points": points, "labels": labels, "boxes": boxes}
    text = f"{function.__name__}({_short(image)}, {_short(masks)}, {_list(marks)})"
    return Call(text, lambda: np.asarray(function(image, masks, **marks)))


def _frame(rng: random.Random) -> Call:
    image = _array(rng, (24, 36, 3))
    frame = rng.choice([(32, 32), (0, 32), (-1, 4), (32, 48), 32, None])
    return Call(f"frame_image({_short(image)}, {frame})", lambda: sam_jax.frame_image(image, frame))


def _rle(rng: random.Random) -> Call:
    counts: Any = [
        rng.choice([0, 1, 5, 864, -3, 1 << 70, 2.5, "x"]) for _ in range(rng.randint(0, 4))
    ]
    if rng.random() < 0.5:
        counts = "".join(chr(rng.randrange(40, 120)) for _ in range(rng.randint(0, 12)))
    size = rng.choice([[24, 36], [0, 0], [-1, 2], [24], None, [1 << 40, 1 << 40], [2.5, 2]])
    return Call(
        f"decode_rle({size}, {counts!r})", lambda: decode_rle({"size": size, "counts": counts})
    )


def _rle_round(rng: random.Random) -> Call:
    mask = (
        np.random.default_rng(rng.randrange(1 << 30)).random(
            (rng.randint(0, 30), rng.randint(0, 30))
        )
        < rng.random()
    )

    def call() -> None:
        packed = encode_rle(mask, compress=True)
        assert np.array_equal(decode_rle(packed), mask)
        assert isinstance(packed["counts"], str)
        decompress_counts(packed["counts"])

    return Call(f"encode_rle({_short(mask)})", call)


def _loss(rng: random.Random) -> Call:
    name = rng.choice(["bce", "sigmoid_focal", "soft_dice", "balanced_bce", "soft_iou", "hard_iou"])
    generator = np.random.default_rng(rng.randrange(1 << 30))
    logits = generator.normal(0, rng.choice([0, 1, 1e3, 1e8, 1e30]), SIZE).astype(np.float32)
    truth = generator.random(SIZE) < rng.choice([0, 0.5, 1])
    function = getattr(losses, name)
    return Call(
        f"{name}(logits up to {np.abs(logits).max():g})", lambda: function(logits, truth), False
    )


def _config(rng: random.Random) -> Call:
    kind = rng.choice(
        [Compute, type(MODEL.image_encoder), type(MODEL.automatic), type(MODEL.mask_decoder)]
    )
    names = list(kind.__dataclass_fields__)
    chosen = {name: rng.choice(NUMBERS) for name in rng.sample(names, 1)}
    return Call(f"{kind.__name__}({_list(chosen)})", lambda: kind(**chosen) and None, False)


def _logits(rng: random.Random) -> Call:
    mask = np.random.default_rng(rng.randrange(1 << 30)).random(SIZE) < rng.random()
    return Call("mask_to_logits", lambda: mask_to_logits(mask, (21, 32), (32, 32)))


def _wrong_order(rng: random.Random) -> Call:
    model: Any = rng.choice(["photo.jpg", None, photo(), MODEL, 3, predictor()])
    kind = rng.choice([sam_jax.SamPredictor, sam_jax.SamAutomaticMaskGenerator])
    return Call(f"{kind.__name__}({_short(model)})", lambda: kind(model) and None)


def _list(arguments: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={_short(value)}" for name, value in arguments.items() if value is not None
    )


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 6:
        return f"{value.dtype} {value.shape}"
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def not_finite(result: Any) -> bool:
    """Whether a result holds NaN or infinity."""
    for leaf in jax.tree.leaves(result):
        array = np.asarray(leaf)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return True
    return False


DRAWERS: list[Callable[[random.Random], Call]] = [
    *(_set_image, _predict, _predict_batch, _generate, _load, _read, _open, _draw, _frame, _rle),
    *(_rle_round, _loss, _config, _logits, _wrong_order),
]
WEIGHT = [2, 6, 4, 2, 3, 3, 3, 3, 2, 4, 1, 2, 3, 1, 1]
