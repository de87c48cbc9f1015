"""The prompts that the options of `sam-jax predict` give, checked before anything slow begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from sam_jax.data.images import read_mask
from sam_jax.inference import SamPredictor
from sam_jax.inference.mask_prompts import mask_to_logits
from sam_jax.messages import count
from sam_jax.types import InputError


@dataclass(frozen=True, kw_only=True)
class PhotoPrompts:
    """Prompts for one photo; all coordinates are in pixels of the photo.

    Attributes:
        points: Clicks as x, y, which all belong to one object.
        labels: Labels of the clicks: 1 on the object, 0 beside it.
        boxes: Boxes as x0, y0, x1, y1, each around one object.
        masks: Rough masks, each of one object.
        phrases: Phrases, each of one object or of all that it fits; only one where there are other prompts.
    """

    points: Float[np.ndarray, "p 2"]
    labels: Int[np.ndarray, " p"]
    boxes: Float[np.ndarray, "k 4"]
    masks: Bool[np.ndarray, "j h w"]
    phrases: tuple[str, ...] = ()

    @property
    def is_single_click(self) -> bool:
        """Whether the only prompt is one click, which is ambiguous."""
        return len(self.points) == 1 and len(self.boxes) + len(self.masks) == 0

    def predict(
        self, predictor: SamPredictor, *, multimask_output: bool
    ) -> tuple[Bool[np.ndarray, "n m h w"], Float[np.ndarray, "n m"]]:
        """Predict the masks of every object in the predictor's image, with their predicted IoU."""
        masks, scores, _ = predictor.predict_batch(
            **self.arguments(predictor), multimask_output=multimask_output
        )
        return masks, scores

    def arguments(self, predictor: SamPredictor) -> dict[str, Any]:
        """Points, boxes and masks, those that there are, as `SamPredictor.predict_batch` takes them."""
        given: dict[str, Any] = {}
        if len(self.points):
            given |= {"point_coords": self.points[None], "point_labels": self.labels[None]}
        if len(self.boxes):
            given["boxes"] = self.boxes
        if len(self.masks):
            frame = predictor.model.config.image_encoder.image_size
            logits = [mask_to_logits(mask, predictor.input_size, frame) for mask in self.masks]
            given["mask_inputs"] = np.stack(logits)
        return given


def read_prompts(
    foreground: Sequence[str],
    background: Sequence[str],
    boxes: Sequence[str],
    masks: Sequence[Path],
    size: tuple[int, int],
    phrases: tuple[str, ...] = (),
) -> PhotoPrompts:
    """Parse the prompts and check that they fit the photo.

    Args:
        foreground: Clicks on the object, each as X,Y.
        background: Clicks beside the object, each as X,Y.
        boxes: Boxes, each as X0,Y0,X1,Y1.
        masks: Image files of rough masks.
        size: Height and width of the photo in pixels.
        phrases: Phrases.

    Raises:
        InputError: A prompt is not made of numbers, is outside the photo or empty, a mask has another size than the
            photo, or the prompts together do not tell which objects are meant.
    """
    _check_combination(len(foreground) + len(background), len(boxes), len(masks), phrases)
    clicks = [_read_point("--point", text, size) for text in foreground]
    clicks += [_read_point("--negative", text, size) for text in background]
    return PhotoPrompts(
        points=np.array(clicks, np.float64).reshape(-1, 2),
        labels=np.array([1] * len(foreground) + [0] * len(background), np.int64),
        boxes=np.array([_read_box(text, size) for text in boxes], np.float64).reshape(-1, 4),
        masks=np.array([_read_mask(path, size) for path in masks], bool).reshape(-1, *size),
        phrases=phrases,
    )


def _check_combination(points: int, boxes: int, masks: int, phrases: tuple[str, ...]) -> None:
    if points + boxes + masks + len(phrases) == 0:
        raise InputError(
            "no prompt: add a click on the object (--point 320,240), "
            "a box around it (--box 200,120,440,360), or a rough mask of it (--mask M.png)"
        )
    objects = max(boxes, masks)
    if not all(phrase.strip() for phrase in phrases):
        raise InputError('--text says what to look for, as in --text "a wheel"; this one is empty')
    if len(set(phrases)) < len(phrases):
        raise InputError(f"a phrase is there twice: {', '.join(phrases)}")
    if phrases and points + objects and max(len(phrases), objects) > 1:
        raise InputError(
            "with points, a box or a mask, --text is about their one object: give one phrase and one object"
        )
    if points and objects > 1:
        raise InputError(
            f"points belong to one object, but {objects} boxes or masks mean {objects} objects: "
            "give one box or mask with the points, or run once for each object"
        )
    if boxes and masks and boxes != masks:
        raise InputError(
            f"{count(boxes, 'box', 'boxes')} and {count(masks, 'mask')} do not pair up: "
            "with both, each object needs one of each"
        )


def _read_point(option: str, text: str, size: tuple[int, int]) -> list[float]:
    x, y = _read_numbers(option, text, "X,Y", "320,240")
    height, width = size
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(
            f"{option} {text} is outside the image, which is {width} wide and {height} high: "
            f"x goes from 0 to {width - 1}, y from 0 to {height - 1}"
        )
    return [x, y]


def _read_box(text: str, size: tuple[int, int]) -> list[float]:
    x0, y0, x1, y1 = _read_numbers("--box", text, "X0,Y0,X1,Y1", "200,120,440,360")
    height, width = size
    if x1 <= x0 or y1 <= y0:
        raise InputError(
            f"--box {text} is empty: X1 must be greater than X0, and Y1 greater than Y0"
        )
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise InputError(
            f"--box {text} reaches outside the image, which is {width} wide and {height} high"
        )
    return [x0, y0, x1, y1]


def _read_numbers(option: str, text: str, form: str, example: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != form.count(",") + 1 or not np.isfinite(numbers).all():
        raise InputError(f"{option} {text}: expected {form}, for example {option} {example}")
    return numbers


def _read_mask(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    mask = read_mask(path)
    if mask.shape != size:
        raise InputError(
            f"--mask {path} is {mask.shape[1]} wide and {mask.shape[0]} high, "
            f"but the image is {size[1]} wide and {size[0]} high"
        )
    if not mask.any():
        raise InputError(f"--mask {path} is empty: every pixel is black or transparent")
    return mask
