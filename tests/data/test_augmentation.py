import numpy as np
import pytest

from sam_jax.data.augmentation import (
    LARGE_SCALE_JITTER,
    LUMA,
    PRETRAINING,
    Augmentation,
    draw_colours,
    draw_placement,
    place_whole,
)
from sam_jax.types import InputError

FRAME = (64, 96)


def draw_many(augmentation, size, count=300):
    rng = np.random.default_rng(0)
    return [draw_placement(size, FRAME, augmentation, rng) for _ in range(count)]


def test_by_default_a_photo_is_shown_whole():
    for placement in draw_many(Augmentation(), (30, 44), 5):
        assert placement == place_whole((30, 44), FRAME)
    assert placement.fitted == (64, 94)
    assert placement.box == (0, 0, 44, 30)


def test_flips_and_transposition_come_half_of_the_time_each():
    augmentation = Augmentation(flip_horizontally=True, flip_vertically=True, transpose=True)
    drawn = np.array([(p.flip_x, p.flip_y, p.transpose) for p in draw_many(augmentation, (30, 44))])
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.1)
    assert len(np.unique(drawn, axis=0)) == 8


def test_transposed_photos_fit_as_if_they_stood():
    placements = draw_many(Augmentation(transpose=True), (30, 44), 20)
    assert {p.fitted for p in placements if p.transpose} == {(64, 44)}
    assert {p.fitted for p in placements if not p.transpose} == {(64, 94)}


@pytest.mark.parametrize("transpose", [False, True])
def test_large_scale_jitter_shrinks_and_crops(transpose):
    augmentation = Augmentation(scale=LARGE_SCALE_JITTER, transpose=transpose)
    placements = draw_many(augmentation, (300, 440))
    scales = []
    for placement in placements:
        x0, y0, x1, y1 = placement.box
        assert 0 <= x0 < x1 <= 440 + 1e-9
        assert 0 <= y0 < y1 <= 300 + 1e-9
        assert all(1 <= a <= b for a, b in zip(placement.fitted, FRAME, strict=True))
        height, width = placement.fitted[::-1] if placement.transpose else placement.fitted
        by = np.array([height / (y1 - y0), width / (x1 - x0)])
        np.testing.assert_allclose(by[0], by[1], rtol=0.15)
        whole = max(place_whole((440, 300) if placement.transpose else (300, 440), FRAME).fitted)
        scales.append(by[1] * 440 / whole)
    assert min(scales) < 0.2
    assert max(scales) > 1.85
    np.testing.assert_allclose(np.mean(scales), 1.05, atol=0.1)
    corners = np.array([placement.box[:2] for placement in placements])
    assert (corners > 0).any(axis=0).all()


def test_a_sliver_never_vanishes():
    for placement in draw_many(Augmentation(scale=LARGE_SCALE_JITTER), (4, 200), 50):
        assert min(placement.fitted) >= 1


def test_colours_keep_greys_grey_and_brightness_near():
    for seed in range(20):
        matrix, offset = draw_colours(Augmentation(colour=0.4), np.random.default_rng(seed))
        sums = matrix.sum(axis=1)
        np.testing.assert_allclose(sums, sums[0])
        assert 0.6 <= sums[0] + offset <= 1.4 + 1e-9


def test_without_strength_colours_stay():
    matrix, offset = draw_colours(Augmentation(), np.random.default_rng(0))
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-12)
    assert offset == 0
    assert sum(LUMA) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (2.0, 0.1)}, "the smaller first"),
        ({"scale": (0.0, 1.0)}, "positive"),
        ({"colour": 1.0}, "below 1"),
        ({"colour": -0.1}, "from 0"),
        ({"min_cells": 0}, "from 1"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**arguments)


def test_a_photo_that_would_vanish_is_refused():
    with pytest.raises(InputError, match="too thin"):
        draw_placement((1, 1000), FRAME, Augmentation(), np.random.default_rng(0))


def test_crops_have_the_area_and_the_proportions_that_are_asked_for():
    height, width = 300, 440
    placements = draw_many(PRETRAINING, (height, width), 500)
    x0, y0, x1, y1 = np.array([p.box for p in placements]).T
    assert min(x0.min(), y0.min()) == 0
    assert (x1 <= width).all()
    assert (y1 <= height).all()
    shares = (x1 - x0) * (y1 - y0) / (height * width)
    assert 0.195 < shares.min() < 0.25
    assert 0.85 < shares.max() <= 1
    proportions = (x1 - x0) / (y1 - y0)
    assert 0.74 < proportions.min() < 0.8
    assert 1.28 < proportions.max() < 1.34
    assert {p.fitted for p in placements} == {FRAME}
    assert {p.flip_x for p in placements} == {True, False}
    assert not any(p.flip_y or p.transpose for p in placements)


@pytest.mark.parametrize(
    ("size", "box"), [((10, 400), (193, 0, 206, 10)), ((400, 10), (0, 193, 10, 206))]
)
def test_where_no_crop_fits_it_is_the_largest_in_the_middle(size, box):
    (placement,) = draw_many(Augmentation(crop_area=(1.0, 1.0)), size, 1)
    assert placement.box == box


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_area": (0.5, 0.2)}, "two shares up to 1, the smaller first"),
        ({"crop_area": (0.2, 1.5)}, "two shares up to 1"),
        ({"crop_area": (0.2, 1.0), "scale": (0.1, 2.0)}, "takes the place of scale"),
    ],
)
def test_impossible_crops_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**settings)
