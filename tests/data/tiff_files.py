"""TIFF files of every kind, written for the tests."""

import struct

import numpy as np
import tifffile

RNG = np.random.default_rng(0)
SIZE = (21, 34)
RGB_16 = RNG.integers(0, 65536, (*SIZE, 3), np.uint16)
RGB_16[0, 0] = 65535
RGB_8 = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
GREY_16 = RGB_16[:, :, 0]
ALPHA_16 = np.full(SIZE, 65535, np.uint16)
ALPHA_16[:5] = 0
ALPHA_16[5] = 13107


def eight(levels, bits=16):
    return np.floor(levels.astype(np.float64) * 255 / (2**bits - 1) + 0.5).astype(np.uint8)


def three(grey):
    return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)


def save(path, samples, **options):
    tifffile.imwrite(path, samples, **options)
    return path


def planes(image):
    return np.moveaxis(image, 2, 0)


def lzw(samples: np.ndarray) -> bytes:
    """TIFF's LZW without compressing: every byte as a code of nine bits, and a fresh table before it grows."""
    data = samples.tobytes()
    codes = []
    for start in range(0, len(data), 250):
        codes += [256, *data[start : start + 250]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def pack(samples, bits):
    """Rows of numbers of any number of bits, each row from a new byte on."""
    shifts = np.arange(bits)[::-1]
    return np.packbits((samples[:, :, None] >> shifts & 1).reshape(len(samples), -1), axis=1)


def write_strips(path, strips, size, bits=16, bands=1, photometric=1, compression=1):
    """A TIFF of one strip, or of one for each plane."""
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    entries = [
        (256, "I", [size[1]]),
        (257, "I", [size[0]]),
        (258, "H", [bits] * bands),
        (259, "H", [compression]),
        (262, "H", [photometric]),
        (273, "I", starts[:-1]),
        (277, "H", [bands]),
        (278, "I", [size[0]]),
        (279, "I", [len(strip) for strip in strips]),
        (284, "H", [1 if len(strips) == 1 else 2]),
    ]
    directory, rest = struct.pack("<H", len(entries)), b""
    place = starts[-1] + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        value = struct.pack(f"<{len(values)}{kind}", *values)
        if len(value) > 4:
            value, rest = struct.pack("<I", place + len(rest)), rest + value
        directory += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values))
        directory += value.ljust(4, b"\0")
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, starts[-1]) + b"".join(strips) + directory + bytes(4) + rest
    )
    return path


def write_lzw(path, samples, photometric, planar=1):
    """A TIFF that Tifffile alone cannot decode."""
    parts = [samples] if planar == 1 else planes(samples)
    strips = [lzw(np.ascontiguousarray(part)) for part in parts]
    bands = samples.shape[2]
    return write_strips(
        path, strips, samples.shape[:2], bands=bands, photometric=photometric, compression=5
    )


def cmyk(image):
    return np.dstack([255 - image, np.zeros(SIZE, np.uint8)])
