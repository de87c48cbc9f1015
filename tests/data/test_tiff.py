"""TIFF of every kind comes out as it looks, or is refused by name."""

import importlib.util
import io
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_jax.data.images import read_image, read_mask
from sam_jax.types import InputError, InputWarning

from .tiff_files import (
    ALPHA_16,
    GREY_16,
    RGB_8,
    RGB_16,
    RNG,
    SIZE,
    cmyk,
    eight,
    pack,
    planes,
    save,
    three,
    write_lzw,
    write_strips,
)

PALETTE = np.zeros((3, 256), np.uint16)
PALETTE[0], PALETTE[2] = np.arange(256) * 257, np.arange(256)[::-1] * 257
INDEXED = np.dstack([RGB_8[:, :, 0], np.zeros(SIZE, np.uint8), 255 - RGB_8[:, :, 0]])
OVER_WHITE = np.rint(
    eight(RGB_16) * (ALPHA_16 / 65535)[:, :, None] + 255 * (1 - ALPHA_16 / 65535)[:, :, None]
).astype(np.uint8)

FORMS = {
    "planes of 16 bits": (planes(RGB_16), {"photometric": "rgb"}, eight(RGB_16)),
    "16 bits": (RGB_16, {"photometric": "rgb"}, eight(RGB_16)),
    "16 bits, big-endian": (RGB_16, {"photometric": "rgb", "byteorder": ">"}, eight(RGB_16)),
    "16 bits, BigTIFF": (RGB_16, {"photometric": "rgb", "bigtiff": True}, eight(RGB_16)),
    "16 bits, deflated": (
        RGB_16,
        {"photometric": "rgb", "compression": "zlib", "predictor": True},
        eight(RGB_16),
    ),
    "planes of 16 bits, deflated": (
        planes(RGB_16),
        {"photometric": "rgb", "compression": "zlib"},
        eight(RGB_16),
    ),
    "tiles of planes of 16 bits": (
        planes(RGB_16),
        {"photometric": "rgb", "tile": (16, 16)},
        eight(RGB_16),
    ),
    "16 bits, white is zero": (
        GREY_16,
        {"photometric": "miniswhite"},
        three(eight(65535 - GREY_16)),
    ),
    "signed 16 bits": (
        (GREY_16 >> 1).astype(np.int16),
        {"photometric": "minisblack"},
        three(eight(GREY_16 >> 1, 15)),
    ),
    "16 bits with alpha": (
        np.dstack([RGB_16, ALPHA_16]),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        OVER_WHITE,
    ),
    "16 bits with an unknown band": (
        np.dstack([RGB_16, ALPHA_16]),
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        eight(RGB_16),
    ),
    "16 bits of inks": (
        cmyk(RGB_8).astype(np.uint16) * 257,
        {"photometric": "separated"},
        RGB_8,
    ),
    "8 bits of inks": (cmyk(RGB_8), {"photometric": "separated"}, RGB_8),
    "1 bit, white is zero": (
        RGB_8[:, :, 0] > 99,
        {"photometric": "miniswhite"},
        three(np.where(RGB_8[:, :, 0] > 99, 0, 255)),
    ),
    "8 bits, white is zero": (
        RGB_8[:, :, 0],
        {"photometric": "miniswhite"},
        three(255 - RGB_8[:, :, 0]),
    ),
    "planes of 8 bits": (planes(RGB_8), {"photometric": "rgb"}, RGB_8),
    "palette": (RGB_8[:, :, 0], {"photometric": "palette", "colormap": PALETTE}, INDEXED),
    "old palette": (
        RGB_8[:, :, 0],
        {"photometric": "palette", "colormap": PALETTE // 257},
        INDEXED,
    ),
    "palette of 16 bits": (
        RGB_8[:, :, 0].astype(np.uint16),
        {
            "photometric": "palette",
            "colormap": np.pad(PALETTE, ((0, 0), (0, 65280))),
        },
        INDEXED,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_looks_as_it_does(tmp_path, form):
    samples, options, expected = FORMS[form]
    pixels = read_image(save(tmp_path / "a.tif", samples, metadata=None, **options))
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.astype(int), expected, atol=1 if "inks" in form else 0)


@pytest.mark.parametrize(
    ("samples", "photometric", "planar", "expected"),
    [
        (RGB_16, 2, 1, RGB_16 >> 8),
        (RGB_16, 2, 2, RGB_16 >> 8),
        (GREY_16[:, :, None], 1, 1, three(eight(GREY_16))),
        (GREY_16[:, :, None], 0, 1, three(eight(65535 - GREY_16))),
    ],
    ids=["colours", "planes", "grey", "white is zero"],
)
def test_lzw(tmp_path, samples, photometric, planar, expected):
    pixels = read_image(write_lzw(tmp_path / "a.tif", samples, photometric, planar))
    np.testing.assert_allclose(pixels.astype(int), expected.astype(int), atol=1)


@pytest.mark.parametrize(
    ("bits", "photometric"), [(2, 0), (2, 1), (4, 0), (4, 1), (12, 1)], ids=str
)
def test_packed_bits(tmp_path, bits, photometric):
    levels = RNG.integers(0, 1 << bits, SIZE, np.uint16)
    strip = pack(levels, bits).tobytes()
    path = write_strips(tmp_path / "a.tif", [strip], SIZE, bits, photometric=photometric)
    seen = levels if photometric else (1 << bits) - 1 - levels
    np.testing.assert_array_equal(read_image(path), three(eight(seen, bits)))


@pytest.mark.parametrize(("bits", "bands"), [(10, 1), (14, 1), (12, 3)])
def test_rare_packed_bits_are_right_or_refused_by_name(tmp_path, bits, bands):
    levels = RNG.integers(0, 1 << bits, (SIZE[0], SIZE[1] * bands), np.uint16)
    strip = pack(levels, bits).tobytes()
    path = write_strips(
        tmp_path / "a.tif", [strip], SIZE, bits, bands, photometric=2 if bands == 3 else 1
    )
    if importlib.util.find_spec("imagecodecs"):
        expected = eight(levels.reshape(*SIZE, bands), bits)
        np.testing.assert_array_equal(read_image(path), np.broadcast_to(expected, (*SIZE, 3)))
    else:
        with pytest.raises(
            InputError, match=rf"a\.tif has {bits} bits a channel, .*sam-jax\[tiff\]"
        ):
            read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_upright(tmp_path, orientation):
    upright = RGB_16
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    tag = (274, "H", 1, orientation, True)
    path = save(tmp_path / "a.tif", planes(as_stored), photometric="rgb", extratags=[tag])
    np.testing.assert_array_equal(read_image(path), eight(RGB_16))


GREY_8, ALPHA_8 = RGB_8[:, :, 0], (ALPHA_16 // 257).astype(np.uint8)
COLOURS = {
    "grey": (GREY_8[:, :, None], "minisblack", three(GREY_8)),
    "white is zero": (GREY_8[:, :, None], "miniswhite", three(255 - GREY_8)),
    "colours": (RGB_8, "rgb", RGB_8),
    "inks": (cmyk(RGB_8), "separated", RGB_8),
}


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("colours", COLOURS)
def test_transparent_photos_of_every_form(tmp_path, colours, depth, planar):
    samples, photometric, seen = COLOURS[colours]
    opacity = (ALPHA_8 / 255)[:, :, None]
    expected = seen * opacity + 255 * (1 - opacity)
    scale = 1 if depth == 8 else 257
    dtype = np.uint8 if depth == 8 else np.uint16
    forms = {"unassalpha": samples}
    if colours in ("grey", "colours"):
        forms["assocalpha"] = samples * opacity
    for kind, levels in forms.items():
        bands = np.rint(np.dstack([levels, ALPHA_8]) * float(scale)).astype(dtype)
        path = save(
            tmp_path / f"{kind}.tif",
            planes(bands) if planar == "separate" else bands,
            photometric=photometric,
            extrasamples=[kind],
            planarconfig=planar,
            metadata=None,
        )
        np.testing.assert_allclose(read_image(path).astype(float), expected, atol=1)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8])
def test_colours_beside_other_bands(tmp_path, dtype, planar):
    most = np.iinfo(dtype).max
    levels = (RGB_16 * (most / 65535)).astype(dtype)
    bands = np.concatenate([levels, levels[::-1], levels[:, ::-1, :1]], axis=2)
    path = save(
        tmp_path / "a.tif",
        planes(bands) if planar == "separate" else bands,
        photometric="rgb",
        extrasamples=["unspecified"] * 4,
        planarconfig=planar,
        metadata=None,
    )
    expected = np.rint(levels / np.float64(most) * 255)
    np.testing.assert_allclose(read_image(path).astype(float), expected, atol=1)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_fewer_bits_kept_in_sixteen_are_stretched_and_said(tmp_path, bits, ending):
    levels = RNG.integers(0, 1 << bits, SIZE, np.uint16)
    levels[3, 5] = (1 << bits) - 1
    Image.fromarray(levels).save(tmp_path / f"a.{ending}")
    with pytest.warns(InputWarning, match=rf"a\.{ending} has 16 bits .* photo of {bits} bits"):
        pixels = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(pixels, three(eight(levels, bits)))


def test_fewer_bits_of_colours(tmp_path):
    levels = RGB_16 >> 4
    for name, samples in (("planes", planes(levels)), ("together", levels)):
        path = save(tmp_path / f"{name}.tif", samples, photometric="rgb")
        with pytest.warns(InputWarning, match=f"{name}.tif has 16 bits .* photo of 12 bits"):
            pixels = read_image(path)
        np.testing.assert_array_equal(pixels, eight(levels, 12))
    path = write_lzw(tmp_path / "lzw.tif", levels, 2)
    with pytest.warns(InputWarning, match=r"lzw\.tif has 16 bits"):  # stretched, or nearly black
        read_image(path)


def test_black_photos_stay_black(tmp_path):
    path = save(tmp_path / "a.tif", np.zeros(SIZE, np.uint16), photometric="minisblack")
    np.testing.assert_array_equal(read_image(path), np.zeros((*SIZE, 3)))


@pytest.mark.parametrize("samples", [RGB_8, RGB_16], ids=["8 bits", "16 bits"])
def test_more_pages_than_one_are_said(tmp_path, samples):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (samples, samples[::-1], samples[:, ::-1]):
            file.write(page, photometric="rgb", metadata=None)
    with pytest.warns(InputWarning, match=r"a\.tif has 3 pages; only the first is read"):
        pixels = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(pixels, samples if samples is RGB_8 else eight(samples))


@pytest.mark.parametrize("samples", [RGB_8, RGB_16], ids=["8 bits", "16 bits"])
def test_small_copies_are_no_pages(tmp_path, samples):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB_8[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        file.write(samples, photometric="rgb", metadata=None)
        file.write(RGB_8[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    expected = samples if samples is RGB_8 else eight(samples)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


def test_stacks_of_imagej(tmp_path):
    stack = np.stack([GREY_16, GREY_16[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.warns(InputWarning, match="has 2 pages"):
        pixels = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(pixels, three(eight(GREY_16)))


MASK = RNG.random(SIZE) < 0.5


@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (planes(MASK[:, :, None] * np.uint16([0, 7, 0])), {"photometric": "rgb"}),
        (MASK.astype(np.uint16), {"photometric": "minisblack"}),
        (np.where(MASK, 3, 65535).astype(np.uint16), {"photometric": "miniswhite"}),
        (np.dstack([np.full(SIZE, 9, np.uint16), MASK * np.uint16(65535)]), {"alpha": True}),
        (MASK.astype(np.int32) * 100000, {"photometric": "minisblack"}),
    ],
    ids=["planes of 16 bits", "0 and 1", "white is zero", "alpha", "32 bits"],
)
def test_masks(tmp_path, samples, options):
    if options.pop("alpha", False):
        options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    path = save(tmp_path / "a.tif", samples, metadata=None, **options)
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(read_mask(path), MASK)


def test_documents_of_scanners(tmp_path):
    """One bit a pixel, by the compressions of fax machines; grey and colours by JPEG."""
    for compression in ("group3", "group4", "tiff_lzw", "packbits"):
        image = Image.fromarray(MASK)
        image.save(tmp_path / "a.tif", compression=compression)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), three(MASK * np.uint8(255)))
    smooth = np.add.outer(np.arange(64) * 2, np.arange(48)).astype(np.uint8)
    photo = np.dstack([smooth, 200 - smooth, smooth // 2])
    Image.fromarray(photo).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").astype(int), photo, atol=12)
    encoded = io.BytesIO()
    Image.fromarray(photo).convert("CMYK").save(encoded, "TIFF", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes(encoded.getvalue())
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").astype(int), photo, atol=1)
