"""Photos and masks, from files and to files."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from sam_jax.storage import atomic_file
from sam_jax.types import InputError

JPEG_QUALITY = 90


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo as it looks on a screen: upright, in RGB, the first frame of an animation.

    Transparent pixels are shown over white, as most programs show them: the colours stored behind
    them are arbitrary, and nobody who clicks on the photo has seen them. Sixteen bits become eight by
    rounding (grey) or by dropping the lower eight (colour, where Pillow does it while decoding).

    Raises:
        InputError: There is no such file, or it is no image, truncated, larger than Pillow's limit against
            decompression bombs, or without a range of brightness (floating point).
    """
    return decode_image(_read_bytes(Path(path)), str(path))


def decode_image(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a photo as `read_image` does; photos inside other files go through here too.

    Args:
        encoded: Content of an image file.
        name: What error messages call the photo.

    Raises:
        InputError: As for `read_image`.
    """
    image = _decode_upright(encoded, name)
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _as_eight_bits(np.asarray(image), name)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def read_mask(path: str | Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask: the object is every pixel that is neither black nor fully transparent.

    So masks of 0 and 1, of 0 and 255, of 16 bits, and coloured label maps all mean what they look
    like; of several labels, the object is the union.

    Raises:
        InputError: As for `read_image`.
    """
    image = _decode_upright(_read_bytes(Path(path)), str(path))
    if image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image) != 0
    pixels = np.asarray(image.convert("RGBA"))
    return pixels[:, :, :3].any(axis=2) & (pixels[:, :, 3] > 0)


def write_image(path: str | Path, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write RGB as PNG, or as JPEG where the name ends in .jpg; the file appears whole or not at all."""
    _write(Path(path), Image.fromarray(pixels))


def write_mask(path: str | Path, mask: Bool[np.ndarray, "h w"]) -> None:
    """Write a mask as grey PNG, 255 in the object; the file appears whole or not at all."""
    _write(Path(path), Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def _read_bytes(path: Path) -> bytes:
    if os.path.exists(path) and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a pipe or a device, not a file")  # one that may never end
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _decode_upright(encoded: bytes, name: str) -> Image.Image:
    # Pillow warns of oddities in metadata and of large photos; whatever matters is an error.
    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                image.load()
                return _turn_upright(image)
        except Image.UnidentifiedImageError as error:
            raise InputError(
                f"{name} is not an image in a known format (PNG, JPEG, ...)"
            ) from error
        except Image.DecompressionBombError as error:
            limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
            message = f"{name} is too large: over {limit:.0f} megapixels; scale it down first"
            raise InputError(message) from error
        # Depending on the format and the damage, decoders raise OSError, SyntaxError, ValueError,
        # RuntimeError, struct.error, ...
        except Exception as error:
            raise InputError(f"{name} is a truncated or damaged image: {error}") from error


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # The pixels are whole; only the metadata is damaged, and viewers show such a photo as stored.
        return image


def _as_eight_bits(levels: np.ndarray, name: str) -> UInt8[np.ndarray, "h w"]:
    is_sixteen_bits = levels.dtype.kind in "iu" and levels.min() >= 0 and levels.max() <= 65535
    if not is_sixteen_bits:
        raise InputError(
            f"{name} has pixels of {levels.dtype} from {levels.min():g} to {levels.max():g}, which "
            "have no set black and white; save it with 8 or 16 bits a channel"
        )
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _write(path: Path, image: Image.Image) -> None:
    # Into memory first: writing to a full disk, Pillow's encoders don't say what is wrong.
    encoded = io.BytesIO()
    if path.suffix == ".jpg":
        image.save(encoded, format="JPEG", quality=JPEG_QUALITY)
    else:
        image.save(encoded, format="PNG")
    with atomic_file(path) as file:
        file.write(encoded.getbuffer())
