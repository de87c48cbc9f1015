import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sam_jax.data.images import read_image, read_mask, write_image, write_mask
from sam_jax.types import InputError, InputWarning, RunError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY_16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
GREY_16[0, :4] = [0, 128, 129, 65535]
ALPHA = np.full((5, 7), 255, np.uint8)
ALPHA[0, 0], ALPHA[4, 6] = 0, 51


def three(grey):
    return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)


def over_white(pixels):
    opacity = ALPHA[:, :, None] / 255
    return pixels * opacity + 255 * (1 - opacity)


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def write_16_bit_png(path, pixels):
    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_rgb(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", RGB, **({"lossless": True} if ending == "webp" else {}))
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, RGB)
    assert pixels.flags.writeable
    np.testing.assert_array_equal(read_image(str(path)), RGB)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(tmp_path, orientation, ending):
    # Blocks of 16 pixels survive JPEG: brightness names the block.
    upright = np.kron(np.arange(0, 240, 40).reshape(2, 3), np.ones((16, 16))).astype(np.uint8)
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{ending}", three(as_stored), exif=exif)
    pixels = read_image(path)
    assert pixels.shape == (32, 48, 3)
    np.testing.assert_allclose(pixels, three(upright), atol=2)
    np.testing.assert_array_equal(read_mask(path)[8::16, 8::16], np.arange(6).reshape(2, 3) > 0)


def test_damaged_exif_leaves_the_photo_as_stored(tmp_path):
    path = save(tmp_path / "a.png", RGB, exif=b"Exif\0\0MX\0*nothing")
    np.testing.assert_array_equal(read_image(path), RGB)


def test_grey(tmp_path):
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", GREY)), three(GREY))


def test_one_bit(tmp_path):
    path = save(tmp_path / "a.png", GREY > 99)
    assert mode_of(path) == "1"
    np.testing.assert_array_equal(read_image(path), three(np.where(GREY > 99, 255, 0)))


def test_grey_with_alpha_is_shown_over_white(tmp_path):
    path = save(tmp_path / "a.png", np.dstack([GREY, ALPHA]))
    assert mode_of(path) == "LA"
    np.testing.assert_allclose(read_image(path), over_white(three(GREY)), atol=0.51)
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]


def test_rgb_with_alpha_is_shown_over_white(tmp_path):
    path = save(tmp_path / "a.png", np.dstack([RGB, ALPHA]))
    np.testing.assert_allclose(read_image(path), over_white(RGB), atol=0.51)


def test_one_transparent_colour_is_shown_over_white(tmp_path):
    path = save(tmp_path / "a.png", RGB, transparency=tuple(RGB[2, 3].tolist()))
    expected = RGB.copy()
    expected[2, 3] = 255
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_palette(tmp_path, ending):
    image = Image.fromarray(RGB).quantize(64)
    image.save(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), RGB)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_palette_with_a_transparent_colour(tmp_path, ending):
    image = Image.fromarray(RGB).quantize(64)
    image.save(tmp_path / f"a.{ending}", transparency=image.getpixel((3, 2)))
    expected = RGB.copy()
    expected[2, 3] = 255
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), expected)


def test_palette_with_alpha_of_every_colour(tmp_path):
    image = Image.fromarray(RGB).quantize(64)
    indices = np.asarray(image)
    opacity = bytes(range(0, 70 * 3, 3))
    image.save(tmp_path / "a.png", transparency=opacity)
    alpha = np.frombuffer(opacity, np.uint8)[indices][:, :, None] / 255
    expected = RGB * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), expected, atol=0.51)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_rounded_to_eight(tmp_path, ending):
    pixels = read_image(save(tmp_path / f"a.{ending}", GREY_16))
    np.testing.assert_array_equal(pixels, three(np.round(GREY_16 / 257)))
    assert pixels[0, :4, 0].tolist() == [0, 0, 1, 255]


def test_integers_within_sixteen_bits_count_as_sixteen_bits(tmp_path):
    path = save(tmp_path / "a.tif", GREY_16.astype(np.int32))
    np.testing.assert_array_equal(read_image(path), three(np.round(GREY_16 / 257)))


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour(tmp_path, channels):
    levels = RNG.integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    levels[:, :, 3:] = 65535
    pixels = read_image(write_16_bit_png(tmp_path / "a.png", levels))
    np.testing.assert_array_equal(pixels, levels[:, :, :3] >> 8)


def test_sixteen_bit_grey_with_alpha(tmp_path):
    levels = np.dstack([GREY_16, np.full_like(GREY_16, 65535)])
    pixels = read_image(write_16_bit_png(tmp_path / "a.png", levels))
    np.testing.assert_array_equal(pixels, three(GREY_16 >> 8))


def test_cmyk(tmp_path):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :, 1:3] = 255
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    pixels = read_image(tmp_path / "a.jpg")
    np.testing.assert_allclose(pixels, np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=4)


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_first_frame_of_an_animation(tmp_path, ending):
    frames = [Image.new("RGB", (7, 5), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    with pytest.warns(InputWarning, match=rf"a\.{ending} has 2 frames; only the first is read"):
        pixels = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(pixels, np.broadcast_to([255, 0, 0], (5, 7, 3)), atol=4)


@pytest.mark.parametrize("transparency", [None, 7])
def test_a_first_frame_smaller_than_its_canvas(tmp_path, transparency):
    """What the frame leaves free is transparent, whatever lies first in the palette."""
    indices = RNG.integers(0, 16, (5, 7), dtype=np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(RNG.integers(0, 200, 3 * 16, dtype=np.uint8).tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.gif", optimize=False, **options)
    expected = np.full((9, 12, 3), 255, np.uint8)
    expected[3:8, 2:9] = read_image(tmp_path / "a.gif")
    content = bytearray((tmp_path / "a.gif").read_bytes())
    content[6:10] = struct.pack("<HH", 12, 9)
    descriptor = content.index(b"\x2c\0\0\0\0")
    content[descriptor + 1 : descriptor + 5] = struct.pack("<HH", 2, 3)
    (tmp_path / "a.gif").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), expected)


def test_further_pictures_of_a_jpeg_are_not_said(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[0, 0], [255, 0, 0], atol=4)


def test_colours_that_use_few_of_sixteen_bits_are_said(tmp_path):
    """Pillow drops the lower eight, so they cannot be stretched."""
    levels = RNG.integers(0, 4096, (5, 7, 3), dtype=np.uint16)
    path = write_16_bit_png(tmp_path / "a.png", levels)
    with pytest.warns(InputWarning, match=r"a\.png has 16 bits .* nearly black: save it with 8"):
        np.testing.assert_array_equal(read_image(path), levels >> 8)


def test_a_netpbm_file_tells_its_white(tmp_path):
    levels = RNG.integers(0, 4096, (5, 7), dtype=np.uint16)
    levels[0, 0] = 4095
    (tmp_path / "a.pgm").write_bytes(b"P5 7 5 4095\n" + levels.astype(">u2").tobytes())
    expected = three(np.rint(levels / 4095 * 255))
    np.testing.assert_allclose(read_image(tmp_path / "a.pgm"), expected, atol=1)


@pytest.mark.parametrize(
    "levels",
    [np.float32([[0.0, 0.5]]), np.int32([[0, 65536]]), np.int32([[-1, 5]])],
    ids=["floating point", "over 16 bits", "negative"],
)
def test_pixels_without_black_and_white_are_refused(tmp_path, levels):
    with pytest.raises(InputError, match=r"a\.tif has pixels of .*save it with 8 or 16 bits"):
        read_image(save(tmp_path / "a.tif", levels))


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_is_not_a_whole_image_is_refused(tmp_path, read, monkeypatch):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for ending in ("png", "jpg", "gif", "webp", "tif", "bmp"):
        whole = save(tmp_path / f"whole.{ending}", noise).read_bytes()
        (tmp_path / f"half.{ending}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=rf"half\.{ending} is a truncated or damaged image"):
            read(tmp_path / f"half.{ending}")

    (tmp_path / "notes.txt").write_text("not pixels")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("notes.txt", "empty.png"):
        with pytest.raises(InputError, match=f"{name} is not an image"):
            read(tmp_path / name)
    for name in ("missing.png", "missing\0.png"):
        with pytest.raises(InputError, match=r"no such file: .*missing"):
            read(tmp_path / name)
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2047)
    with pytest.raises(InputError, match="too large"):
        read(tmp_path / "whole.png")


def test_large_photos_below_the_limit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", RGB)), RGB)


MASK = RNG.random((5, 7)) < 0.5


@pytest.mark.parametrize(
    "pixels",
    [
        MASK,
        MASK.astype(np.uint8),
        MASK.astype(np.uint8) * 255,
        MASK.astype(np.uint16),
        np.where(MASK, GREY_16 | 1, 0).astype(np.uint16),
        np.where(MASK[:, :, None], [0, 0, 128], 0).astype(np.uint8),
        np.dstack([np.full((5, 7), 200, np.uint8), MASK * np.uint8(255)]),
        np.dstack([three(MASK * np.uint8(255)), np.full((5, 7), 255, np.uint8)]),
    ],
    ids=["1 bit", "0/1", "0/255", "16-bit 0/1", "16-bit", "coloured", "alpha", "opaque"],
)
def test_a_mask_is_what_is_neither_black_nor_transparent(tmp_path, pixels):
    np.testing.assert_array_equal(read_mask(save(tmp_path / "a.png", pixels)), MASK)


def test_palette_mask(tmp_path):
    image = Image.fromarray(MASK.astype(np.uint8))
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "a.png")
    assert mode_of(tmp_path / "a.png") == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), MASK)


def test_written_files_read_back(tmp_path):
    write_image(tmp_path / "photo.png", RGB)
    write_mask(tmp_path / "mask.png", MASK)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), RGB)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), MASK)
    with Image.open(tmp_path / "mask.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), MASK * 255)
    assert sorted(os.listdir(tmp_path)) == ["mask.png", "photo.png"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_full_disk_leaves_the_old_file(tmp_path, full_disk, name):
    write_image(tmp_path / name, RGB)
    before = (tmp_path / name).read_bytes()
    with full_disk(), pytest.raises(RunError, match=f"cannot write .*{name}: File too large; free"):
        write_image(tmp_path / name, 255 - RGB)
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]
