"""Photos and masks, from files and to files."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import ExifTags, Image, ImageOps

from sam_jax.data.tiff import TiffPhoto, decode_tiff, is_tiff
from sam_jax.storage import BucketPath, atomic_file, locate, refuse_endless
from sam_jax.types import InputError, InputWarning

JPEG_QUALITY = 90
_FEWER_BITS = (8, 10, 12, 14)
"""Bits that cameras have, and that files with 16 bits a channel often hold unstretched."""
_PNG_BITS = 24
"""Place in a PNG file of the number of its bits a channel."""
_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo as it looks on a screen: upright, in RGB, the first frame of an animation.

    Transparent pixels are shown over white, as most programs show them: the colours stored behind
    them are arbitrary, and nobody who clicks on the photo has seen them. Sixteen bits become eight by
    rounding, or in PNG's colours, where Pillow does it while decoding, by dropping the lower eight. Of
    grey, and of TIFF's colours, that reach no higher than 8, 10, 12 or 14 of 16 bits, those bits are taken
    for the whole range, with an `InputWarning`; so are the first of several pages or frames.

    Raises:
        InputError: There is no such file, or it is no image, truncated, larger than Pillow's limit against
            decompression bombs, or without a range of brightness (floating point).
    """
    return decode_image(_read_bytes(locate(path)), str(path))


def decode_image(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a photo as `read_image` does; photos inside other files go through here too.

    Args:
        encoded: Content of an image file.
        name: What error messages call the photo.

    Raises:
        InputError: As for `read_image`.
    """
    image = _decode_upright(encoded, name)
    if isinstance(image, TiffPhoto):
        return _draw_over_white(image, name)
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _as_eight_bits(np.asarray(image), name)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    pixels = np.array(image.convert("RGB"))
    _warn_of_darkness(pixels, encoded, name)
    return pixels


def read_mask(path: str | Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask: the object is every pixel that is neither black nor fully transparent.

    So masks of 0 and 1, of 0 and 255, of 16 bits, and coloured label maps all mean what they look
    like; of several labels, the object is the union.

    Raises:
        InputError: As for `read_image`.
    """
    image = _decode_upright(_read_bytes(locate(path)), str(path))
    if isinstance(image, TiffPhoto):
        is_visible = image.alpha is None or image.alpha[:, :, 0] > 0
        return (image.levels != 0).any(axis=2) & is_visible
    if image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image) != 0
    pixels = np.asarray(image.convert("RGBA"))
    return pixels[:, :, :3].any(axis=2) & (pixels[:, :, 3] > 0)


def write_image(path: str | Path, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write RGB as PNG, or as JPEG where the name ends in .jpg; the file appears whole or not at all."""
    _write(locate(path), Image.fromarray(pixels))


def write_mask(path: str | Path, mask: Bool[np.ndarray, "h w"]) -> None:
    """Write a mask as grey PNG, 255 in the object; the file appears whole or not at all."""
    _write(locate(path), Image.fromarray(mask.astype(np.uint8) * np.uint8(255)))


def _read_bytes(path: Path) -> bytes:
    # A name with a null character doesn't exist either, and reading it is another error.
    if not isinstance(path, BucketPath) and not os.path.exists(path):
        raise InputError(f"no such file: {path}")
    refuse_endless(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _decode_upright(encoded: bytes, name: str) -> Image.Image | TiffPhoto:
    page = decode_tiff(encoded, name) if is_tiff(encoded) else 0
    if isinstance(page, TiffPhoto):
        return page
    # Pillow warns of oddities in metadata and of large photos; whatever matters is an error.
    with warnings.catch_warnings(action="ignore"):
        warnings.simplefilter("always", InputWarning)  # another thread may be giving one
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                frames = _count_frames(image)
                image.seek(page)
                image.load()
                upright = _turn_upright(_fill_canvas(image))
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
    if frames > 1:
        warnings.warn(f"{name} has {frames} frames; only the first is read", InputWarning, 2)
    return upright


def _count_frames(image: Image.Image) -> int:
    """Frames of an animation. The further pictures of a JPEG are a camera's previews and maps."""
    if image.format not in _ANIMATIONS:
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:
        return 1  # what follows the first frame is damaged


def _fill_canvas(image: Image.Image) -> Image.Image:
    """The first frame of a GIF on its canvas: what the frame leaves free is transparent, as on a screen."""
    extent = getattr(image, "dispose_extent", None)
    if extent in (None, (0, 0, *image.size)):
        return image
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.convert("RGBA").crop(extent), extent[:2])
    return canvas


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # The pixels are whole; only the metadata is damaged, and viewers show such a photo as stored.
        return image


def _draw_over_white(photo: TiffPhoto, name: str) -> UInt8[np.ndarray, "h w 3"]:
    levels = _as_eight_bits(photo.levels, name, photo.white)
    if photo.alpha is not None:
        opacity = 1 if photo.is_premultiplied else photo.alpha
        shown = np.minimum(levels * opacity + 255 * (1 - photo.alpha), 255)
        levels = np.rint(shown).astype(np.uint8)
    return np.array(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def _as_eight_bits(
    levels: Shaped[np.ndarray, "*shape"], name: str, white: int | None = None
) -> UInt8[np.ndarray, "*shape"]:
    is_sixteen_bits = levels.dtype.kind in "iu" and levels.min() >= 0 and levels.max() <= 65535
    if not is_sixteen_bits:
        raise InputError(
            f"{name} has pixels of {levels.dtype} from {levels.min():g} to {levels.max():g}, which "
            "have no set black and white; save it with 8 or 16 bits a channel"
        )
    white = white or 65535
    highest = int(levels.max())
    if white > 1 << _FEWER_BITS[-1] and 0 < highest < 1 << _FEWER_BITS[-1]:
        bits = next(bits for bits in _FEWER_BITS if highest < 1 << bits)
        warnings.warn(
            f"{name} has 16 bits a channel and reaches no higher than {highest}: it is taken for a photo of "
            f"{bits} bits, whose white is {(1 << bits) - 1}",
            InputWarning,
            2,
        )
        white = (1 << bits) - 1
    return ((levels.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def _warn_of_darkness(pixels: UInt8[np.ndarray, "h w 3"], encoded: bytes, name: str) -> None:
    """Say so where colours of 16 bits use the lowest few of them, half of which Pillow has dropped."""
    bits = _FEWER_BITS[-1]
    if pixels.max() < 1 << (bits - 8) and _has_sixteen_bits(encoded):
        warnings.warn(
            f"{name} has 16 bits a channel and uses {bits} at most, so it is nearly black: save it with 8 bits",
            InputWarning,
            2,
        )


def _has_sixteen_bits(encoded: bytes) -> bool:
    if is_tiff(encoded):
        with Image.open(io.BytesIO(encoded)) as image:
            return 16 in getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, ())
    return encoded.startswith(b"\x89PNG") and encoded[_PNG_BITS] == 16


def _write(path: Path, image: Image.Image) -> None:
    # Into memory first: writing to a full disk, Pillow's encoders don't say what is wrong.
    encoded = io.BytesIO()
    if path.suffix == ".jpg":
        image.save(encoded, format="JPEG", quality=JPEG_QUALITY)
    else:
        image.save(encoded, format="PNG")
    with atomic_file(path) as file:
        file.write(encoded.getbuffer())
