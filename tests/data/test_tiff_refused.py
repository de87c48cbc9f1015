"""What of TIFF is refused: what has no look, is damaged, or is larger than its file can be."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.images import read_image, read_mask
from sam_jax.types import InputError

from .tiff_files import (
    GREY_16,
    RGB_16,
    SIZE,
    planes,
    save,
    write_strips,
)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.zeros((*SIZE, 5), np.uint8), {"planarconfig": "contig"}, "has 5 bands, and no tag"),
        (
            np.zeros((*SIZE, 3), np.uint16),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "has 3 bands, and no tag",
        ),
        (
            np.zeros((*SIZE, 2), np.uint8),
            {"photometric": "minisblack", "extrasamples": ["unspecified"]},
            "has 2 bands, and no tag",
        ),
        (np.zeros(SIZE, np.float32), {"photometric": "minisblack"}, "32 bits, floating-point numb"),
        (np.zeros(SIZE, np.float16), {"photometric": "minisblack"}, "16 bits, floating-point numb"),
        (np.zeros(SIZE, np.complex64), {"photometric": "minisblack"}, "numbers of a rare type"),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "cielab"}, r"holds CIE L\*a\*b\* colours"),
        (np.zeros(SIZE, np.uint16), {"photometric": "cfa"}, "holds a camera's raw photo"),
        (np.zeros((*SIZE, 3), np.uint8), {"photometric": "ycbcr"}, "holds YCbCr colours"),
        (
            np.zeros((16, 16, 16), np.uint8),
            {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)},
            "holds a volume of 16 layers",
        ),
        (np.full(SIZE, 70000, np.uint32), {"photometric": "minisblack"}, "have no set black and"),
        (np.full(SIZE, -5, np.int16), {"photometric": "minisblack"}, "have no set black and white"),
        (np.zeros(SIZE, np.uint8), {"subfiletype": 1}, "holds no more than a preview"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_has_no_look_is_refused_by_name(tmp_path, samples, options, message, read):
    path = save(tmp_path / "a.tif", samples, metadata=None, **options)
    if read is read_mask and "black and" in message and "32" not in message:
        assert read(path).all()  # a mask needs no white
        return
    with pytest.raises(InputError, match=r"a\.tif (has|holds) .*") as error:
        read(path)
    assert message.replace("\\", "") in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_compressions_are_refused_by_name(tmp_path):
    path = save(tmp_path / "a.tif", GREY_16, photometric="minisblack")
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<HHI", 259, 3, 1))
    content[entry + 8 : entry + 10] = struct.pack("<H", 34676)
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"a\.tif has 16 bits a channel, compressed as SGILOG, which"
    ):
        read_image(path)


def test_16_bits_cut_short(tmp_path):
    whole = save(tmp_path / "a.tif", planes(RGB_16), photometric="rgb").read_bytes()
    for length in (6, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.tif").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.tif is (a truncated or damaged|not an) image"):
            read_image(tmp_path / "a.tif")


def test_a_strip_that_inflates_beyond_its_pixels(tmp_path):
    strip = zlib.compress(bytes(50_000_000))
    path = write_strips(tmp_path / "a.tif", [strip], SIZE, compression=8)
    with pytest.raises(InputError, match="a strip or tile holds more than its pixels"):
        read_image(path)


@pytest.mark.parametrize("tags", [{"bands": 60000, "photometric": 2}, {"size": (2**31, 3)}])
def test_small_files_of_large_photos(tmp_path, tags):
    path = write_strips(tmp_path / "a.tif", [bytes(100)], **{"size": (9000, 9000), **tags})
    with pytest.raises(InputError, match=r"a\.tif (is too large|has 60000 bands)"):
        read_image(path)


def test_large_ones_are_refused_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", planes(RGB_16), photometric="rgb")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(InputError, match="too large"):
        read_image(path)
