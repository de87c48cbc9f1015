"""Masks with soft edges, void labels, backgrounds that aren't black: read right, or refused by name."""

import io
import os

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFilter
from skimage.segmentation import felzenszwalb
from skimage.transform import resize

from sam_jax.data.example import RecordError
from sam_jax.data.label_images import read_labels

from .conftest import NO_HINTS

LARGE = Image.new("L", (680, 480))
ImageDraw.Draw(LARGE).ellipse((80, 60, 380, 300), fill=255)
ImageDraw.Draw(LARGE).polygon([(450, 100), (600, 150), (500, 420)], fill=255)
HARD = LARGE.resize((170, 120), Image.Resampling.NEAREST)
MASK = np.asarray(HARD) > 0
SMALL = np.zeros((60, 90), np.uint8)
SMALL[10:40, 20:50], SMALL[30:55, 50:80], SMALL[5:20, 60:85] = 1, 2, 7
COLOURS = np.random.default_rng(3).integers(0, 256, (8, 3)).astype(np.uint8)
COLOURS[0] = 0


def compress(image, quality):
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded)


def palette(labels):
    image = Image.fromarray(labels).copy()
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    return image


@pytest.fixture
def read(tmp_path):
    def read(image, hints=NO_HINTS):
        image.save(tmp_path / "map.png")
        return read_labels(tmp_path / "map.png", hints)

    return read


@pytest.mark.parametrize(
    "image",
    [
        LARGE.resize((170, 120), Image.Resampling.BOX),
        HARD.filter(ImageFilter.GaussianBlur(3)),
        compress(HARD, 75),
        compress(HARD, 30),
        compress(HARD.convert("RGB"), 90),
        Image.merge(
            "LA", (LARGE.resize((170, 120), Image.Resampling.BOX), Image.new("L", HARD.size, 255))
        ),
    ],
    ids=["antialiased", "blurred", "jpeg", "strong jpeg", "rgb jpeg", "with alpha"],
)
def test_a_soft_mask_is_one_object(read, image):
    labels, notes = read(image)
    assert set(np.unique(labels)) == {0, 1}
    assert np.count_nonzero((labels > 0) ^ MASK) < 0.05 * MASK.sum()
    assert "soft edges" in notes[0]


def test_one_soft_pixel_or_row(read):
    hard = np.zeros((60, 90), np.uint8)
    hard[10:40, 20:60] = 255
    for soft in (np.s_[10, 30], np.s_[9, 20:60]):
        grey = hard.copy()
        grey[soft] = 100
        labels, notes = read(Image.fromarray(grey))
        assert len(notes) == 1
        np.testing.assert_array_equal(labels > 0, grey > 127)


def test_soft_alpha(read):
    red = Image.new("RGBA", HARD.size, (200, 10, 10, 0))
    red.putalpha(LARGE.resize((170, 120), Image.Resampling.BOX))
    labels, notes = read(red)
    assert np.unique(labels).size == 2
    assert np.count_nonzero((labels > 0) ^ MASK) < 0.05 * MASK.sum()
    assert notes == ()


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(SMALL * 30).resize((180, 120), Image.Resampling.BILINEAR),
        Image.fromarray(COLOURS[SMALL]).resize((180, 120), Image.Resampling.BICUBIC),
        compress(Image.fromarray(SMALL * 30).resize((360, 240), Image.Resampling.NEAREST), 85),
        compress(Image.fromarray(COLOURS[SMALL]), 85),
    ],
    ids=["scaled", "colours scaled", "jpeg", "colours jpeg"],
)
def test_label_maps_that_were_scaled_or_compressed(read, image):
    with pytest.raises(RecordError, match="scaled with interpolation or compressed as JPEG"):
        read(image)


@pytest.mark.parametrize("seed", range(3))
def test_hard_maps_of_crowded_objects_stay_as_they_are(read, seed):
    random = np.random.default_rng(seed)
    labels = np.zeros((120, 170), np.uint8)
    for label in random.permutation(np.arange(1, 254)):
        y, x = random.integers(0, 110), random.integers(0, 160)
        labels[y : y + random.integers(1, 9), x : x + random.integers(1, 9)] = label
    np.testing.assert_array_equal(read(Image.fromarray(labels)).labels, labels)


VOC = SMALL.copy()
VOC[9:41, 19], VOC[9, 19:51] = 255, 255


@pytest.mark.parametrize("make", [palette, Image.fromarray], ids=["palette", "grey"])
def test_void_is_no_object(read, make):
    labels, notes = read(make(VOC))
    np.testing.assert_array_equal(labels, np.where(VOC == 255, 0, VOC))
    assert "255 is taken for void" in notes[0]
    np.testing.assert_array_equal(read(make(VOC), NO_HINTS._replace(void=())).labels, VOC)
    without_seven = read(make(VOC), NO_HINTS._replace(void=(255, 7)))
    assert set(np.unique(without_seven.labels)) == {0, 1, 2}
    assert without_seven.notes == ()


@pytest.mark.parametrize("levels", [(85, 170, 255), (1, 2, 254), (128, 255, 255), (253, 254, 255)])
def test_255_among_others_like_it_is_an_object(read, levels):
    labels = np.array([0, levels[0], levels[1], 0, 0, 0, 0, levels[2]], np.uint8)[SMALL]
    result = read(Image.fromarray(labels))
    np.testing.assert_array_equal(result.labels, labels)
    assert result.notes == ()


def test_a_background_that_is_not_black_is_asked_for(read):
    inverted = 255 - np.asarray(HARD)
    with pytest.raises(RecordError, match=r"background = 255 into sam_jax\.toml"):
        read(Image.fromarray(inverted))
    labels = read(Image.fromarray(inverted), NO_HINTS._replace(background=255)).labels
    np.testing.assert_array_equal(labels > 0, MASK)
    whole = read(Image.fromarray(inverted), NO_HINTS._replace(background=0)).labels
    np.testing.assert_array_equal(whole > 0, ~MASK)


def test_a_white_background_of_colours_is_asked_for(read):
    colours = COLOURS.copy()
    colours[0] = 255
    with pytest.raises(RecordError, match="background seems to have the label 16777215"):
        read(Image.fromarray(colours[SMALL]))
    labels = read(Image.fromarray(colours[SMALL]), NO_HINTS._replace(background=0xFFFFFF)).labels
    assert np.unique(labels).size == 4
    np.testing.assert_array_equal(labels > 0, SMALL > 0)


def test_a_division_of_the_whole_map_has_no_background(read):
    halves = np.ones((60, 90), np.uint8)
    halves[:, 40:] = 2
    np.testing.assert_array_equal(read(Image.fromarray(halves)).labels, halves)


def test_many_small_regions_are_no_soft_edges(tmp_path):
    """Where many objects meet, levels lie between those of their neighbours too."""
    photo = resize(skimage.data.astronaut(), (48, 64), anti_aliasing=True)
    labels = felzenszwalb(photo, scale=200, min_size=60).astype(np.uint8) + 1
    Image.fromarray(labels).save(tmp_path / "regions.png")
    found = read_labels(tmp_path / "regions.png", NO_HINTS)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.notes == ()


def test_a_map_that_is_a_pipe_is_a_bad_record(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RecordError, match="is a pipe or a device"):
        read_labels(tmp_path / "pipe.png", NO_HINTS)
