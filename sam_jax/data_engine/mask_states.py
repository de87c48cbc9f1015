"""A mask as people change it: what a browser sends, checked, and what the database keeps."""

import json
import math
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from sam_jax.data.example import RecordError, RleMasks
from sam_jax.data.pixel_runs import bound_runs
from sam_jax.data_engine.schema import MaskState, Stage, Verdict
from sam_jax.types import InputError

MOST_CLICKS = 30
"""Clicks into one mask: with the corners of a box they are the 32 points of the larger compiled program."""
LONGEST_LABEL = 200
LONGEST_COUNTS = 8 << 20
LONGEST_SECONDS = 1e6
LARGEST_NUMBER = 2**31 - 1
"""Largest number of a photo or a model that a database can hold."""
_NAME = re.compile(r"[0-9a-f]{32}")


class Click(NamedTuple):
    """A click into a photo.

    Attributes:
        x: Column in pixels of the photo, from its left edge.
        y: Row in pixels of the photo, from its upper edge.
        label: 1 where the object is, 0 where it is not.
    """

    x: float
    y: float
    label: int


class Prompt(NamedTuple):
    """All that a mask follows from.

    Attributes:
        base: COCO's string of the mask that is refined; None where there is none.
        box: Box x0, y0, x1, y1 in pixels of the photo; None for no box.
        clicks: Clicks in their order.
        choice: Which of the three masks was chosen that the first click gives; None for the best.
    """

    base: str | None
    box: tuple[float, float, float, float] | None
    clicks: tuple[Click, ...]
    choice: int | None

    def to_json(self) -> dict[str, Any]:
        """The prompt as JSON can hold it."""
        return {
            "base": self.base,
            "box": self.box and list(self.box),
            "clicks": [list(click) for click in self.clicks],
            "choice": self.choice,
        }


def read_name(value: Any, what: str) -> str:
    """Read a name that a browser gives to something new: 32 hexadecimal digits.

    Raises:
        InputError: It is none.
    """
    if not (isinstance(value, str) and _NAME.fullmatch(value)):
        raise InputError(f"{what} is 32 hexadecimal digits")
    return value


def read_number(value: Any, what: str, low: int | float, high: int | float) -> float:
    """Read a number within bounds, both included.

    Raises:
        InputError: It is none, or beyond them.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{what} is a number")
    if not low <= value <= high:
        raise InputError(f"{what} is from {low:g} to {high:g}")
    return float(value)


def read_count(value: Any, what: str, high: int = 1_000_000) -> int:
    """Read a whole number from 0 on.

    Raises:
        InputError: It is none, or too large.
    """
    number = read_number(value, what, 0, high)
    if number != int(number):
        raise InputError(f"{what} is a whole number")
    return int(number)


def read_text(value: Any, what: str, longest: int) -> str:
    """Read a line of text.

    Raises:
        InputError: It is no text, too long, or has characters that cannot be shown.
    """
    if not isinstance(value, str) or len(value) > longest:
        raise InputError(f"{what} is a text of at most {longest} characters")
    text = " ".join(value.split())
    if not text.isprintable():  # which surrogates and null characters are not
        raise InputError(f"{what} has characters that cannot be shown")
    return text


def read_prompt(value: Any, size: tuple[int, int]) -> Prompt:
    """Read a prompt as a browser sends it.

    Args:
        value: The prompt, from JSON.
        size: Height and width of the photo.

    Raises:
        InputError: It is none.
    """
    given = _read_object(value, "prompt", ("base", "box", "clicks", "choice"))
    height, width = size
    base, box, clicks, choice = (given.get(key) for key in ("base", "box", "clicks", "choice"))
    if base is not None:
        measure_counts(base, size)
    if box is not None:
        if not isinstance(box, list) or len(box) != 4:
            raise InputError("a box is x0, y0, x1, y1")
        sides = (width, height, width, height)
        x0, y0, x1, y1 = (
            read_number(place, "a side of the box", 0, side)
            for place, side in zip(box, sides, strict=True)
        )
        if x0 >= x1 or y0 >= y1:
            raise InputError("a box is x0, y0, x1, y1, with x0 < x1 and y0 < y1")
        box = (x0, y0, x1, y1)
    if not isinstance(clicks, list) or len(clicks) > MOST_CLICKS:
        raise InputError(f"clicks is a list of at most {MOST_CLICKS}")
    if not (base or box or clicks):
        raise InputError("a prompt has a base, a box or a click")
    read = []
    for click in clicks:
        if not isinstance(click, list) or len(click) != 3 or click[2] not in (0, 1):
            raise InputError("a click is x, y, and 1 or 0")
        x, y = (
            read_number(place, "a click's place", 0, side)
            for place, side in zip(click[:2], (width, height), strict=True)
        )
        read.append(Click(x, y, int(click[2])))
    if choice is not None:
        choice = read_count(choice, "choice", 2)
    return Prompt(base, box, tuple(read), choice)


class Measured(NamedTuple):
    """What a mask's runs tell.

    Attributes:
        area: Number of its pixels.
        box: Box x0, y0, x1, y1 that holds them; None without any.
    """

    area: int
    box: tuple[int, int, int, int] | None


def measure_counts(counts: Any, size: tuple[int, int]) -> Measured:
    """Check and measure a mask.

    Args:
        counts: COCO's string of the mask's runs.
        size: Height and width of the photo.

    Raises:
        InputError: The runs are damaged, too many, or of another photo.
    """
    if not isinstance(counts, str) or len(counts) > LONGEST_COUNTS:
        raise InputError(f"a mask is COCO's string of at most {LONGEST_COUNTS} characters")
    try:
        runs = RleMasks([{"size": size, "counts": counts}], size).runs(0)
    except RecordError as error:
        raise InputError(str(error)) from error
    area = int((runs.ends - runs.starts).sum())
    if not area:
        return Measured(0, None)
    (top, bottom), (left, right) = bound_runs(runs)
    return Measured(area, (int(left), int(top), int(right), int(bottom)))


def read_mask(value: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Read a mask as a browser sends it, into columns of the table of masks.

    Args:
        value: The mask, from JSON.
        size: Height and width of the photo.

    Raises:
        InputError: It is none, or is none of this photo.
    """
    given = _read_object(
        value,
        "mask",
        *(
            ("id", "revision", "state", "counts", "prompt", "label", "verdict", "predicted_iou"),
            ("clicks", "strokes", "seconds", "model"),
        ),
    )
    state = _read_member(given.get("state"), "state", MaskState)
    counts, prompt = given.get("counts"), given.get("prompt")
    measured = Measured(0, None) if counts is None else measure_counts(counts, size)
    if state == MaskState.DONE and not measured.area:
        raise InputError("a mask that is done has a pixel at least")
    iou = given.get("predicted_iou")
    verdict, model = given.get("verdict"), given.get("model")
    return {
        "id": read_name(given.get("id"), "the id of a mask"),
        "revision": read_count(given.get("revision"), "revision"),
        "state": state,
        "verdict": None if verdict is None else _read_member(verdict, "verdict", Verdict),
        "label": read_text(given.get("label"), "a label", LONGEST_LABEL),
        "counts": counts,
        "area": measured.area,
        "box": measured.box and json.dumps(measured.box),
        "prompt": None if prompt is None else json.dumps(read_prompt(prompt, size).to_json()),
        "predicted_iou": None if iou is None else read_number(iou, "predicted_iou", -1e3, 1e3),
        "clicks": read_count(given.get("clicks"), "clicks"),
        "strokes": read_count(given.get("strokes"), "strokes"),
        "seconds": read_number(given.get("seconds"), "seconds", 0, LONGEST_SECONDS),
        # A page that names none leaves the model that the mask has.
        **({} if model is None else {"model_id": read_count(model, "model", LARGEST_NUMBER)}),
    }


def make_model_mask(
    counts: str,
    size: tuple[int, int],
    *,
    photo_id: int,
    stage: Stage,
    state: MaskState,
    prompt: Prompt | None,
    predicted_iou: float,
    model_id: int | None,
    at: float,
) -> dict[str, Any]:
    """A mask that the model has made without a person, as a new row of the table of masks.

    Args:
        counts: COCO's string of the mask's runs.
        size: Height and width of the photo.
        photo_id: Number of the photo.
        stage: Stage of the data engine that the mask comes from.
        state: What is to become of the mask.
        prompt: What the mask follows from; None where clicks refine it from its pixels on.
        predicted_iou: IoU that the model predicts.
        model_id: Number of the model in the database.
        at: Time in seconds since 1970.
    """
    measured = measure_counts(counts, size)
    return {
        "id": secrets.token_hex(16),
        "photo_id": photo_id,
        "revision": 1,
        "state": str(state),
        "stage": int(stage),
        "model_id": model_id,
        "person_id": None,
        "verdict": None,
        "label": "",
        "counts": counts,
        "area": measured.area,
        "box": measured.box and json.dumps(measured.box),
        "prompt": None if prompt is None else json.dumps(prompt.to_json()),
        "predicted_iou": predicted_iou,
        "clicks": 0,
        "strokes": 0,
        "seconds": 0.0,
        "created_at": at,
        "updated_at": at,
    }


def show_mask(row: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """A mask as a browser gets it.

    Args:
        row: A row of the table of masks.
        names: Names of people, by id.
    """
    shown = {
        key: row[key]
        for key in (
            *("id", "revision", "state", "stage", "verdict", "label", "counts", "area"),
            *("predicted_iou", "clicks", "strokes", "seconds", "created_at"),
        )
    }
    prompt, box = row["prompt"], row["box"]
    return shown | {
        "model": row["model_id"],
        "prompt": prompt and json.loads(prompt),
        "box": box and json.loads(box),
        "person": names.get(row["person_id"]),
    }


def _read_object(value: Any, what: str, *keys: tuple[str, ...] | str) -> dict[str, Any]:
    """An object of JSON that has none but some keys."""
    known = {key for part in keys for key in ((part,) if isinstance(part, str) else part)}
    if not isinstance(value, dict):
        raise InputError(f"{what} is an object")
    if unknown := sorted(map(str, value.keys() - known)):
        raise InputError(f"{what} has no entry {unknown[0][:40]!r}")
    return value


def _read_member(value: Any, what: str, kind: type[StrEnum]) -> str:
    try:
        return str(kind(value))
    except (ValueError, TypeError) as error:
        raise InputError(f"{what} is one of {', '.join(kind)}") from error
