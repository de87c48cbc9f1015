"""Run-length encoding of masks, as COCO and SA-1B store them.

A mask is read column by column, and the lengths of its runs are stored, background first. COCO packs those numbers
further into a string (`rleToString` of pycocotools' `maskApi.c` is the reference).
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, UInt8

from sam_jax.types import InputError

CHUNK_BITS = 5
SIGN_BIT = 1 << (CHUNK_BITS - 1)
MORE_BIT = 1 << CHUNK_BITS
FIRST_CHARACTER = 48
BITS = 8


class Rle(TypedDict):
    """A run-length encoded mask.

    Attributes:
        size: Height and width of the mask in pixels.
        counts: Lengths of the runs, or COCO's string of them, which pycocotools gives as bytes.
    """

    size: list[int]
    counts: list[int] | str | bytes


def encode_rle(mask: Bool[np.ndarray, "h w"], *, compress: bool = False) -> Rle:
    """Encode a mask.

    Args:
        mask: Mask to encode.
        compress: Whether the lengths are packed into COCO's string.

    >>> encode_rle(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    pixels = mask.ravel(order="F")
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    first_is_background = pixels.size > 0 and not pixels[0]
    edges = np.concatenate([[] if first_is_background else [0], starts, [pixels.size]])
    counts = np.diff(edges, prepend=0).astype(np.int64).tolist()
    height, width = mask.shape
    return Rle(size=[height, width], counts=compress_counts(counts) if compress else counts)


def encode_packed(
    bits: UInt8[np.ndarray, "w_bytes h"], corner: tuple[int, int], image_size: tuple[int, int]
) -> Rle:
    """Encode a mask that is packed into bits, by looking only at the places where it changes.

    Args:
        bits: Mask of a part of the image. Each byte has eight pixels side by side, the leftmost in the highest bit;
            bits beyond the image are zero.
        corner: Coordinates x, y of the part's first pixel in the image.
        image_size: Size (h, w) of the image; the mask is empty outside of the part.

    >>> encode_packed(np.array([[0b01000000, 0b11000000]], np.uint8), (0, 0), (2, 2))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    height, width = image_size
    above = np.pad(bits, ((0, 0), (1, 0)))
    below = np.pad(bits, ((0, 0), (0, 1)))
    changes = above ^ below  # at row r: between rows r - 1 and r; around the part is background
    byte, row = np.nonzero(changes)
    changed = np.asarray(changes[byte, row, None], np.uint8)
    change, bit = np.nonzero(np.unpackbits(changed, axis=1))
    column = corner[0] + BITS * byte[change] + bit
    edges = np.sort(column * height + corner[1] + row[change])
    # A run that goes on from the bottom of a column at the top of the next ends and begins at one place.
    goes_on = edges[1:-1:2] == edges[2::2]
    stays = np.ones(len(edges), bool)
    stays[1:-1:2] = stays[2::2] = ~goes_on
    ends = np.concatenate([edges[stays], [height * width]])
    counts = np.diff(ends, prepend=0).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        del counts[-1]
    return Rle(size=[height, width], counts=counts)


def decode_rle(rle: Rle) -> Bool[np.ndarray, "h w"]:
    """Decode a mask from either form of the counts.

    Raises:
        InputError: The runs do not fill the mask.
    """
    height, width = rle["size"]
    counts = rle["counts"]
    runs = decompress_counts(counts) if isinstance(counts, str | bytes) else counts
    # Python's integers, since in 64 bits long runs can add up to anything.
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise InputError(
            f"damaged run-length encoding: runs of {sum(runs)} pixels for a mask of "
            f"{height}x{width} = {height * width} pixels"
        )
    is_foreground = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_foreground, np.asarray(runs, np.int64)).reshape(height, width, order="F")


def compress_counts(counts: Sequence[int]) -> str:
    """Pack the lengths of runs into COCO's string.

    From the fourth on, a number is stored as its difference to the number two before it. Each is cut into chunks of
    five bits, lowest first; a sixth bit says whether more follow; adding 48 makes a chunk a character.
    """
    numbers = np.array(counts, np.int64)
    numbers[3:] -= numbers[1:-2].copy()
    chunks, used = [], []
    pending = np.ones(numbers.size, bool)
    while pending.any():
        chunk = numbers & (MORE_BIT - 1)
        numbers = numbers >> CHUNK_BITS
        # Signs extend from a chunk's top bit, so a number ends where the rest repeats that bit.
        more = numbers != np.where(chunk & SIGN_BIT, -1, 0)
        chunks.append(chunk + MORE_BIT * more + FIRST_CHARACTER)
        used.append(pending)
        pending = pending & more
    if not chunks:
        return ""
    characters = np.stack(chunks, axis=1)[np.stack(used, axis=1)]
    return characters.astype(np.uint8).tobytes().decode("ascii")


def decompress_counts(text: str | bytes) -> list[int]:
    """Unpack COCO's string into the lengths of runs.

    Raises:
        InputError: A character is none of COCO's, or the text ends in the middle of a number.
    """
    encoded = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    characters = np.frombuffer(encoded, np.uint8)
    codes = characters.astype(np.int64) - FIRST_CHARACTER
    is_last = (codes & MORE_BIT) == 0
    if ((codes < 0) | (codes >= 2 * MORE_BIT)).any() or (codes.size and not is_last[-1]):
        raise InputError("damaged run-length encoding: not a string of COCO's counts")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends + 1])[: ends.size]
    place = np.arange(codes.size) - np.repeat(starts, ends - starts + 1)
    if codes.size == 0:
        return []
    if (place.max() + 1) * CHUNK_BITS > 60:
        raise InputError("damaged run-length encoding: a run longer than any mask")
    numbers = np.add.reduceat((codes & (MORE_BIT - 1)) << (CHUNK_BITS * place), starts)
    is_negative = (codes[ends] & SIGN_BIT) != 0
    numbers -= is_negative * (1 << (CHUNK_BITS * (place[ends] + 1)))
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers.tolist()
