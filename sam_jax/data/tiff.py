"""TIFF, which holds photos of any kind: bits, planes, bands and colours as the file's tags tell them.

Tifffile decodes what its few decoders can, and Pillow what needs others, in the forms that it gets right. What has no
set black and white, or no red, green and blue, is refused by name.
"""

import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import numpy as np
import tifffile
from jaxtyping import Float, Shaped
from PIL import Image

from sam_jax.types import InputError, InputWarning

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
"""Numbers of a pixel, by the tag of its photometric interpretation; more are alpha, or bands of no known meaning."""
_OTHER_COLOURS = {
    4: "a mask of transparency",
    8: "CIE L*a*b* colours",
    9: "ICC L*a*b* colours",
    10: "ITU L*a*b* colours",
    32803: "a camera's raw photo",
    32844: "a logarithm of luminance",
    32845: "a logarithm of luminance",
    34892: "a camera's raw photo",
    51177: "a map of depths",
}
_MOST_BYTES = 8
"""Bytes of a pixel of the largest photo: 16 bits for each of red, green, blue and alpha."""
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""Two kinds of alpha, as the tag of extra samples has them."""
_JPEG = (6, 7, 33007, 34892)
"""Compressions by JPEG, which turn colours into others: Pillow's decoder turns them back."""


_NONE, _LZW, _PACKBITS, _DEFLATE = 1, 5, 32773, (8, 32946)
_OF_PILLOW = (_NONE, _LZW, 34925, 50000)
"""Compressions (none, LZW, LZMA, Zstandard) of which Pillow decodes what Tifffile cannot by itself."""
_TOGETHER = 1
"""How the tag of planar configuration says that the bands of a pixel lie side by side."""
_INFLATION = {_NONE: 1, _PACKBITS: 64}
_MOST_INFLATION = 1 << 14
"""Bytes of pixels that one byte of a file can stand for, by compression; fax machines' saves the most."""
_OF_PILLOW = (_NONE, _LZW)
"""Compressions, none and LZW, of which Pillow decodes what Tifffile cannot without further packages."""


class TiffPhoto(NamedTuple):
    """A photo as its file has it, upright.

    Attributes:
        levels: Grey, or red, green and blue; black is 0.
        white: Level of white; None where the file doesn't tell.
        alpha: Opacity from 0 to 1; None where all is opaque.
        is_premultiplied: Whether the levels are multiplied by the opacity already.
    """

    levels: Shaped[np.ndarray, "h w c"]
    white: int | None
    alpha: Float[np.ndarray, "h w 1"] | None = None
    is_premultiplied: bool = False


def is_tiff(encoded: bytes) -> bool:
    """Whether a file begins as TIFF and BigTIFF do."""
    return encoded[:4] in _MAGICS


def decode_tiff(encoded: bytes, name: str) -> TiffPhoto | int:
    """Decode the first page of a TIFF that is no small copy; where Pillow decodes it right, give its number instead.

    Args:
        encoded: Content of the file.
        name: What messages call the photo.

    Raises:
        InputError: The file is damaged or too large, or its pixels have no set black and white, no red, green and blue,
            or a compression that cannot be decoded.
    """
    with _quiet(), _explaining(name), tifffile.TiffFile(io.BytesIO(encoded)) as file:
        page = _first_page(file, name)
        _check(page, encoded, name)
        if _is_for_pillow(page):
            return page.index
        samples = _decode(page, encoded, name)
    return page.index if samples is None else _interpret(page, samples)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tifffile logs oddities of metadata; whatever matters is an error."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, InputWarning):
        raise
    # As Pillow's decoders, Tifffile's raise whatever they like.
    except Exception as error:
        raise InputError(f"{name} is a truncated or damaged image: {error}") from error


def _first_page(file: tifffile.TiffFile, name: str) -> Any:
    """The first page that is not a small copy of another one."""
    pages = [page.aspage() for page in file.pages]
    whole = [page for page in pages if not page.is_reduced and not page.subfiletype & 4]
    if not whole:
        raise InputError(
            f"{name} holds no more than a preview, as a camera's raw photo does; develop it and save it as TIFF or PNG"
        )
    # ImageJ describes one page and lets the others follow it.
    count = max(len(whole), int((file.imagej_metadata or {}).get("images", 1)))
    if count > 1:
        warnings.warn(f"{name} has {count} pages; only the first is read", InputWarning, 2)
    return whole[0]


def _check(page: Any, encoded: bytes, name: str) -> None:
    """Check what the tags tell before anything is decoded."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    pixels = page.imagewidth * page.imagelength
    size = pixels * page.samplesperpixel * page.bitspersample // 8
    if limit and (pixels > limit or max(size, _chunk_bytes(page)) > _MOST_BYTES * limit):
        raise InputError(
            f"{name} is too large: over {limit / 1e6:.0f} megapixels; scale it down first"
        )
    if page.photometric not in _COLOURS:
        kind = _OTHER_COLOURS.get(int(page.photometric), f"colours of kind {int(page.photometric)}")
        raise InputError(f"{name} holds {kind}, which is not supported; save it in grey or RGB")
    if page.imagedepth > 1:
        raise InputError(f"{name} holds a volume of {page.imagedepth} layers; save one as a photo")
    if page.photometric == _YCBCR and page.compression not in _JPEG:
        raise InputError(
            f"{name} holds YCbCr colours without JPEG, which is not supported; save it in RGB"
        )
    colours, bands = _COLOURS[page.photometric], page.samplesperpixel
    extra = tuple(page.extrasamples)
    if bands < colours or (colours == 1 and bands > 2) or (bands == 2 and 0 in extra[:1]):
        raise InputError(
            f"{name} has {bands} bands, and no tag says which are red, green and blue; "
            "save those three, or one, as a photo"
        )
    is_photo = page.sampleformat in (_UNSIGNED, _SIGNED)
    if not is_photo or page.bitspersample > 32 or page.dtype is None:
        kind = {_FLOAT: "floating-point numbers"}.get(page.sampleformat, "numbers of a rare type")
        raise InputError(
            f"{name} has pixels of {page.bitspersample} bits, {kind}, which have no set black and white; "
            "save it with 8 or 16 bits a channel"
        )
    ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if max(ends, default=0) > len(encoded):
        raise InputError(f"{name} is a truncated or damaged image: its pixels end behind its end")
    most = _INFLATION.get(page.compression, _MOST_INFLATION) * sum(page.databytecounts)
    if size > most:
        raise InputError(f"{name} is a truncated or damaged image: some of its pixels are missing")


def _chunk_bytes(page: Any) -> int:
    """Bytes of a strip or tile when it is decoded."""
    return prod(page.chunks) * page.dtype.itemsize if page.dtype is not None else 0


def _check_deflated(page: Any, encoded: bytes) -> None:
    """Tifffile inflates a strip or tile to whatever it holds; this stops where it should end."""
    for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream, most = zlib.decompressobj(), _chunk_bytes(page)
        if size and len(stream.decompress(encoded[start : start + size], most + 1)) > most:
            raise ValueError("a strip or tile holds more than its pixels")


def _is_for_pillow(page: Any) -> bool:
    """Whether a page is of a form that Pillow always decodes right."""
    is_packed = page.bitspersample in (1, 2, 4) and page.samplesperpixel == 1
    return page.compression in _JPEG or (is_packed and page.sampleformat == _UNSIGNED)


def _decode(page: Any, encoded: bytes, name: str) -> np.ndarray | None:
    """The numbers of every pixel, height by width by bands; None where Pillow does as well."""
    is_plain = page.bitspersample % 8 == 0 and page.compression in (_NONE, _PACKBITS, *_DEFLATE)
    if is_plain or (find_spec("imagecodecs") and _has_decoder(page.compression)):
        if page.compression in _DEFLATE:
            _check_deflated(page, encoded)
        planes = page.asarray(squeeze=False)  # planes, layers, rows, columns, bands
        return np.moveaxis(planes[:, 0], 0, 2).reshape(*planes.shape[2:4], -1)
    bits, bands, colours = page.bitspersample, page.samplesperpixel, _COLOURS[page.photometric]
    if page.compression in _OF_PILLOW and page.sampleformat == _UNSIGNED:
        is_twelve = bits == 12 and page.photometric == _BLACK_IS_ZERO
        if bands == 1 and (is_twelve or (bits == 16 and page.photometric != _PALETTE)):
            with Image.open(io.BytesIO(encoded)) as image:
                image.seek(page.index)
                return np.asarray(image)[:, :, None]
        is_rgba = page.photometric == _RGB and bands == 4 and page.planarconfig == _TOGETHER
        if bits in (8, 16) and (bands == colours or is_rgba):
            return None
    form = getattr(page.compression, "name", page.compression)
    raise InputError(
        f"{name} has {bits} bits a channel, compressed as {form}, which cannot be decoded here; "
        "save it with 8 or 16 bits and without compression, or try pip install 'sam-jax[tiff]'"
    )


def _has_decoder(compression: int) -> bool:
    try:
        return bool(tifffile.TIFF.DECOMPRESSORS[compression])
    except KeyError:
        return False


def _interpret(page: Any, samples: np.ndarray) -> TiffPhoto:
    bits = page.bitspersample - (page.sampleformat == _SIGNED)
    white = (1 << bits) - 1 if bits <= 16 else None
    colours = _COLOURS[page.photometric]
    levels = samples[:, :, :colours]
    alpha = None
    extra = tuple(page.extrasamples)
    kind = next((kind for kind in extra if kind in (_PREMULTIPLIED, _STRAIGHT)), None)
    if kind is not None and white is not None:
        band = samples[:, :, colours + extra.index(kind)]
        alpha = np.clip(band[:, :, None] / white, 0, 1)
    if page.photometric == _WHITE_IS_ZERO and white is not None:
        levels = white - np.minimum(levels, white)
    elif page.photometric == _PALETTE:
        palette = np.asarray(page.colormap)
        levels = palette[:, levels[:, :, 0]].transpose(1, 2, 0)
        white = 255 if palette.max() < 256 else 65535  # some writers count to 255
    elif page.photometric == _CMYK:
        inks = (samples[:, :, :4].astype(np.uint32) * 255 // (white or 1)).astype(np.uint8)
        levels = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
        white = 255
    return TiffPhoto(
        _turn_upright(levels, page),
        white,
        None if alpha is None else _turn_upright(alpha, page),
        kind == _PREMULTIPLIED,
    )


def _turn_upright(pixels: np.ndarray, page: Any) -> np.ndarray:
    orientation = page.tags.valueof("Orientation", default=1)
    if orientation in (3, 4, 7, 6):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
