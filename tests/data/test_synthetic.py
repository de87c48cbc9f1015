import hashlib
import itertools
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from sam_jax.data.synthetic import SyntheticSource
from sam_jax.data.synthetic.canvas import Canvas, Look
from sam_jax.data.synthetic.materials import (
    Material,
    Surfaces,
    render_material,
    sample_lighting,
    sample_material,
)
from sam_jax.data.synthetic.outlines import rectangle
from sam_jax.data.synthetic.selection import MIN_PIXELS, choose_masks, split_regions
from sam_jax.data.synthetic.textures import texture_bank
from sam_jax.data.synthetic.things import Piece
from sam_jax.types import InputError

SIZE = (120, 168)
FULL_SIZE_IN_PIXELS = np.eye(2, 3)


@pytest.fixture(scope="module")
def source():
    return SyntheticSource(seed=3, length=1000, size=SIZE)


@pytest.fixture(scope="module")
def examples(source):
    return [source[i] for i in range(10)]


def plain(colour):
    tile = np.full((512, 512), 128, np.uint8)
    ramp = np.tile(np.array(colour, np.float32), (256, 1))
    return Material(tile, FULL_SIZE_IN_PIXELS, ramp, tile, FULL_SIZE_IN_PIXELS, 0.0)


def paint_squares(*squares):
    """Plain squares (left, top, right, bottom), each of another colour, over a black background."""
    rng = np.random.default_rng(0)
    canvas = Canvas((40, 60), sample_lighting(rng))
    canvas.paint_regions(np.ones(canvas.size, np.uint8), [plain((0, 0, 0))])
    nodes = []
    for number, square in enumerate(squares, 1):
        thing = [Piece((rectangle(*square),), (), 0)]
        wobble = np.zeros((512, 512), np.uint8)
        colour = (number / 10, 0, 0)
        nodes.append(
            canvas.paint(thing, {0: plain(colour)}, FULL_SIZE_IN_PIXELS, Look(softness=0.3), wobble)
        )
    return canvas, nodes


def digest(example):
    content = example.image.tobytes() + b"".join(mask.tobytes() for mask in example.masks)
    return hashlib.sha256(content).hexdigest()


def test_an_example_is_a_photo_with_masks_of_its_size(examples, source):
    assert len(source) == 1000
    for number, example in enumerate(examples):
        assert example.name == f"synthetic-3/{number}"
        assert example.image.shape == (*SIZE, 3)
        assert example.image.dtype == np.uint8
        assert 5 <= len(example.masks) <= 40
        for mask in example.masks:
            assert mask.shape == SIZE
            assert mask.dtype == bool
            assert mask.sum() >= MIN_PIXELS


def test_masks_are_nested_or_apart_and_all_different(examples):
    nested = 0
    for example in examples:
        for a, b in itertools.combinations(example.masks, 2):
            common = int((a & b).sum())
            assert common in (0, min(int(a.sum()), int(b.sum())))
            assert (a != b).any()
            nested += common > 0
    assert nested > 20


def test_example_depends_on_seed_and_index_only(source, examples):
    again = pickle.loads(pickle.dumps(SyntheticSource(seed=3, length=7, size=SIZE)))
    assert digest(again[6]) == digest(examples[6])
    assert digest(again[2]) == digest(examples[2])
    assert digest(SyntheticSource(seed=4, size=SIZE)[2]) != digest(examples[2])
    assert len({digest(example) for example in examples}) == len(examples)


def test_another_process_draws_the_same_bits(examples):
    program = (
        "import hashlib\n"
        "from sam_jax.data.synthetic import SyntheticSource\n"
        f"source = SyntheticSource(seed=3, length=1000, size={SIZE})\n"
        "for i in (9, 4):\n"
        "    e = source[i]\n"
        "    content = e.image.tobytes() + b''.join(mask.tobytes() for mask in e.masks)\n"
        "    print(hashlib.sha256(content).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [digest(examples[9]), digest(examples[4])]


def test_masks_are_the_pixels_that_are_seen():
    canvas, (below, above) = paint_squares((10, 5, 30, 25), (20, 15, 50, 35))
    expected = np.zeros(canvas.size, int)
    expected[5:26, 10:31] = 1
    expected[15:36, 20:51] = 2
    np.testing.assert_array_equal(canvas.labels == below, expected == 1)
    np.testing.assert_array_equal(canvas.labels == above, expected == 2)
    inside = cv2.erode((expected == 2).astype(np.uint8), np.ones((5, 5))) > 0
    np.testing.assert_allclose(canvas.colours[inside, 0], 0.2, atol=1e-3)
    far = cv2.dilate((expected > 0).astype(np.uint8), np.ones((5, 5))) == 0
    np.testing.assert_allclose(canvas.colours[far], 0, atol=1e-3)


def test_object_cut_in_two_is_one_mask_and_background_is_whole_and_in_pieces():
    canvas, (bar, post) = paint_squares((-5, 15, 70, 22), (30, -5, 34, 50))
    split_regions(canvas.labels, canvas.parents, canvas.regions)
    masks = list(choose_masks(canvas.labels, canvas.parents, 40, np.random.default_rng(0)))
    pieces = [cv2.connectedComponents(m.astype(np.uint8), connectivity=8)[0] - 1 for m in masks]
    # The background in four quarters, and whole; the bar behind the post; the post.
    assert sorted(pieces) == [1, 1, 1, 1, 1, 2, 4]
    np.testing.assert_array_equal(
        sum(m.astype(int) for m, k in zip(masks, pieces, strict=True) if k > 1)
        + (canvas.labels == post),
        1,
    )
    assert (canvas.labels == bar).sum() == 8 * (60 - 5)


def test_parts_make_up_the_whole_and_holes_are_seen_through():
    canvas, _ = paint_squares()
    ring = (rectangle(10, 5, 40, 35), rectangle(20, 12, 30, 28))
    thing = [
        Piece(ring, (), 0),
        Piece((rectangle(8, 3, 18, 13),), (0,), 1, inside=True),
        Piece((rectangle(40, 30, 50, 36),), (1,), 0),
    ]
    wobble = np.zeros((512, 512), np.uint8)
    node = canvas.paint(
        thing, {0: plain((1, 1, 1)), 1: plain((1, 0, 0))}, FULL_SIZE_IN_PIXELS, Look(), wobble
    )
    masks = list(choose_masks(canvas.labels, canvas.parents, 40, np.random.default_rng(0)))
    whole = next(m for m in masks if m[34, 45] and m[10, 35])
    assert not whole[20, 25]
    assert not whole[4, 9]  # a marking doesn't reach beyond what it is on
    parts = [m for m in masks if (m & whole).any() and m.sum() < whole.sum()]
    assert len(parts) == 2
    assert all((m <= whole).all() for m in parts)
    assert (canvas.labels == node).sum() == whole.sum() - sum(m.sum() for m in parts)


def test_things_outside_the_frame_and_specks_are_left_out():
    canvas, (outside, speck) = paint_squares((100, 100, 120, 120), (5, 5, 8, 8))
    assert outside is None
    assert (canvas.labels == speck).sum() < MIN_PIXELS
    assert len(choose_masks(canvas.labels, canvas.parents, 40, np.random.default_rng(0))) == 1


def test_too_many_masks_are_drawn_from():
    squares = [(x, y, x + 6, y + 6) for x in range(0, 52, 8) for y in range(0, 32, 8)]
    canvas, _ = paint_squares(*squares)
    masks = choose_masks(canvas.labels, canvas.parents, 11, np.random.default_rng(0))
    assert len(masks) == 11


def test_pictures_have_the_statistics_of_photographs(examples):
    slopes, correlations = [], []
    for example in examples:
        grey = example.image.mean(axis=2)[:120, :120]
        window = np.outer(np.hanning(120), np.hanning(120))
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(120), np.fft.fftfreq(120)))
        here = (frequency > 0.03) & (frequency < 0.25)
        slopes.append(np.polyfit(np.log(frequency[here]), np.log(power[here] + 1e-9), 1)[0])
        correlations.append(
            np.corrcoef(example.image[..., 0].ravel(), example.image[..., 1].ravel())[0, 1]
        )
    assert -3.6 < np.median(slopes) < -1.4  # photographs: -2.0 to -2.6
    assert np.median(correlations) > 0.8


def test_tiles_are_periodic_with_even_statistics():
    for tile in texture_bank(3):
        assert abs(float(tile.mean()) - 128) < 12
        assert 20 < tile.std() < 65
    rng = np.random.default_rng(0)
    surfaces = Surfaces(texture_bank(3), [], sample_lighting(rng))
    material = sample_material(rng, surfaces)
    whole = render_material(material, (0, 0, 60, 80))
    part = render_material(material, (10, 20, 40, 50))
    np.testing.assert_allclose(whole[10:50, 20:70], part, atol=0.05)


def test_photos_serve_as_textures(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(2):
        stripes = np.zeros((90, 1000, 3), np.uint8)
        stripes[..., k] = rng.integers(0, 256, (90, 1000))
        Image.fromarray(stripes).save(tmp_path / f"{k}.png")
    with_photos = SyntheticSource(seed=3, size=SIZE, textures=tmp_path)
    without = SyntheticSource(seed=3, size=SIZE)
    assert digest(with_photos[0]) == digest(pickle.loads(pickle.dumps(with_photos))[0])
    assert digest(with_photos[0]) != digest(without[0])


def test_what_cannot_be_drawn_is_said(tmp_path, source):
    with pytest.raises(InputError, match="holds no photos"):
        SyntheticSource(textures=tmp_path)
    with pytest.raises(InputError, match="seed from 0"):
        SyntheticSource(seed=-1)
    with pytest.raises(InputError, match="share from 0 to 1"):
        SyntheticSource(plain=1.5)
    with pytest.raises(InputError, match="64 pixels"):
        SyntheticSource(size=(384, 20))
    with pytest.raises(IndexError, match="no number 1000"):
        source[1000]


def test_plain_pictures_have_one_colour_or_texture_a_mask():
    source = SyntheticSource(seed=3, length=10, size=SIZE, plain=1.0)
    rough = SyntheticSource(seed=3, length=10, size=SIZE, plain=1.0, plain_contrast=0.6)
    spreads = []
    for pictures in (source, rough):
        within = []
        for index in range(10):
            example = pictures[index]
            assert len(example.masks) >= 1
            masks = [example.masks[k] for k in range(len(example.masks))]
            assert np.stack(masks).sum(axis=0).max() == 1
            for mask in masks:
                inner = cv2.erode(mask.view(np.uint8), np.ones((9, 9))) > 0
                if inner.sum() > 50:
                    within.append(example.image[inner].std(axis=0).mean())
        spreads.append(np.median(within))
    assert spreads[0] < 16
    assert spreads[1] > 1.2 * spreads[0]


def test_what_is_remembered_is_what_was_drawn():
    once = SyntheticSource(seed=3, length=4, size=SIZE)[2]
    source = SyntheticSource(seed=3, length=4, size=SIZE, remember=True)
    first, again = source[2], source[2]
    assert first is again
    np.testing.assert_array_equal(first.image, once.image)
