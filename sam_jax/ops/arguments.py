"""Arguments checked where they are given, so that an error speaks of what the user passed."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sam_jax.types import InputError


def check_image(image: Any) -> UInt8[np.ndarray, "h w 3"]:
    """The image as an array, if it is one of RGB bytes.

    Raises:
        InputError: It is something else.
    """
    is_array = hasattr(image, "__array__") or hasattr(image, "__array_interface__")  # Pillow's
    if isinstance(image, (str, bytes)) or not is_array:
        raise InputError(
            f"an image is an array of height x width x 3 bytes, not {describe(image)}; "
            "np.asarray(PIL.Image.open(path).convert('RGB')) reads a photo"
        )
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return pixels
    advice = ""
    if pixels.size == 0:
        advice = ": it is empty"
    elif pixels.ndim == 2:
        advice = ": repeat grey three times, np.stack([image] * 3, axis=-1)"
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        advice = ": leave out the fourth channel, image[:, :, :3]"
    elif pixels.ndim == 3 and pixels.shape[0] == 3:
        advice = ": move its channels to the end, np.moveaxis(image, 0, -1)"
    elif pixels.dtype.kind == "f":
        advice = ": make it bytes, (255 * image).astype(np.uint8) if it is from 0 to 1"
    raise InputError(
        "an image is an array of height x width x 3 bytes (uint8, 0 to 255), "
        f"not {pixels.dtype} of shape {pixels.shape}{advice}"
    )


def as_numbers(name: str, values: Any) -> np.ndarray:
    """The values as an array in float64.

    Args:
        name: Name of the argument.
        values: What was given.

    Raises:
        InputError: They are no numbers.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biufO":
            return array.astype(np.float64)
    except (TypeError, ValueError):  # of different lengths, or objects that are no numbers
        pass
    raise InputError(f"{name} is an array of numbers, not {describe(values)}")


def check_numbers(name: str, values: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """The values as an array of finite numbers in float64.

    Args:
        name: Name of the argument.
        values: What was given.
        shape: Length of each axis; None for any.

    Raises:
        InputError: They are no numbers, not finite, or of another shape.
    """
    array = as_numbers(name, values)
    fits = array.ndim == len(shape) and all(
        wanted in (None, side) for wanted, side in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        sides = ", ".join("any" if side is None else str(side) for side in shape)
        raise InputError(
            f"{name} is an array of finite numbers of shape ({sides}), not one of shape {array.shape}"
            + ("" if not fits else " with NaN or infinity")
        )
    return array


def check_number(
    name: str, value: Any, *, least: float | int = -math.inf, most: float | int = math.inf
) -> None:
    """Check that an argument is a finite number in its range.

    Args:
        name: Name of the argument.
        value: What was given.
        least: Smallest allowed number.
        most: Largest allowed number.

    Raises:
        InputError: It is no such number.
    """
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, bool
    )
    if not (is_number and math.isfinite(value) and least <= value <= most):
        raise InputError(f"{name} is {_range('a number', least, most)}, not {describe(value)}")


def check_finite(config: Any) -> None:
    """Check that the numbers among a configuration's settings are finite: NaN passes every comparison with a limit.

    Args:
        config: A dataclass. Settings that are dataclasses themselves check their own.

    Raises:
        InputError: A setting is NaN or infinite.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"{field.name} is {value}: it must be finite")


def check_count(name: str, value: Any, *, least: int = 0) -> None:
    """Check that an argument is a whole number that is not too small.

    Raises:
        InputError: It is no such number.
    """
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (is_whole and value >= least):
        raise InputError(
            f"{name} is {_range('a whole number', least, math.inf)}, not {describe(value)}"
        )


def check_size(name: str, size: Any) -> tuple[int, int]:
    """A height and a width of at least 1 pixel.

    Raises:
        InputError: It is something else.
    """
    match size:
        case [int() | np.integer() as height, int() | np.integer() as width]:
            if height >= 1 and width >= 1:
                return int(height), int(width)
    raise InputError(
        f"{name} is a height and a width in pixels, as in (1024, 1024), not {describe(size)}"
    )


def check_counts(config: Any, *names: str) -> None:
    """Check that some of a configuration's settings are whole numbers of at least 1.

    Raises:
        InputError: One is no such number.
    """
    for name in names:
        check_count(name, getattr(config, name), least=1)


def describe(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        array = np.asarray(value)
        return f"an array of {array.dtype} of shape {array.shape}"
    if value is None or isinstance(value, (str, int, float, tuple, list)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"a {type(value).__name__}"


def _range(kind: str, least: float | int, most: float | int) -> str:
    if math.isfinite(least) and math.isfinite(most):
        return f"{kind} from {least:g} to {most:g}"
    if math.isfinite(least):
        return f"{kind} of at least {least:g}"
    if math.isfinite(most):
        return f"{kind} of at most {most:g}"
    return f"a finite {kind.removeprefix('a ')}"
