import re
from unittest.mock import patch

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, label

from sam_jax.data import pasting
from sam_jax.data.example import Example, RecordError
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.pasting import Paster, Pasting
from sam_jax.types import InputError

GREY, RED, BLUE, GREEN = (90, 90, 90), (200, 20, 20), (20, 20, 200), (20, 200, 20)
SIZE = (90, 120)


class Photos:
    """A data set of given photos."""

    name = "photos"

    def __init__(self, *photos):
        self.photos = photos

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        if self.photos[index] is None:
            raise RecordError(f"photo {index} is bad")
        return self.photos[index]


def paint(size, *areas, below=GREY):
    """A photo with a rectangle of each colour, and the rectangles as masks."""
    image = np.full((*size, 3), below, np.uint8)
    masks = []
    for colour, rows, columns in areas:
        mask = np.zeros(size, bool)
        mask[rows, columns] = True
        image[mask] = colour
        masks.append(mask)
    return Example("painted", image, masks)


ALONE = paint((40, 60), (RED, slice(8, 32), slice(15, 45)), (BLUE, slice(12, 20), slice(20, 30)))
"""A red thing, 24 high and 30 wide, with a blue part."""
WHOLE = Example("below", np.full((*SIZE, 3), GREEN, np.uint8), [np.ones(SIZE, bool)])


def paste(photo, seed=0, most=1, colour=0.0, **settings):
    """By default one object, half as long as the photo's shorter side, in its own colours."""
    paster = Paster(Photos(photo), Pasting(path="", **{"sizes": (0.5, 0.5)} | settings))
    with patch.multiple(pasting, MOST_OBJECTS=most, COLOUR=colour):
        return paster.paste(WHOLE, np.random.default_rng(seed))


def is_colour(image, colour):
    return (np.abs(image.astype(int) - colour) <= 3).all(axis=-1)


@pytest.mark.parametrize("seed", range(5))
def test_a_thing_comes_with_its_parts_in_front_of_what_was_there(seed):
    """The part is too small to be cut out by itself: 80 pixels."""
    pasted = paste(ALONE, seed)
    thing, part, below = (pasted.masks[k] for k in range(3))
    assert len(pasted.masks) == 3
    np.testing.assert_array_equal(below, ~thing)
    assert (part & ~thing).sum() == 0
    not_green = pasted.image[..., 1] < 110
    assert not_green[binary_erosion(thing, iterations=2)].all()
    assert not not_green[~thing].any()
    bluer = pasted.image[..., 2] > pasted.image[..., 0]
    assert bluer[binary_erosion(part)].all()
    assert not bluer[binary_erosion(thing & ~part)].any()
    assert is_colour(pasted.image, GREEN)[~thing].mean() > 0.95
    assert (WHOLE.image == GREEN).all(), "the photo itself stays as it was"


def test_the_longer_side_is_what_was_drawn():
    """Half of the photo's shorter side, 45 of 90 pixels; the other is in proportion, 36."""
    seen = [paste(ALONE, seed).masks[0] for seed in range(20)]
    whole = [mask for mask in seen if not (mask[[0, -1]].any() or mask[:, [0, -1]].any())]
    assert len(whole) > 5
    for mask in whole:
        assert abs(mask.any(axis=0).sum() - 45) <= 2
        assert abs(mask.any(axis=1).sum() - 36) <= 2


@pytest.mark.parametrize(
    ("rows", "columns", "sides"),
    [
        (slice(10, 34), slice(0, 30), ("left", "right")),
        (slice(0, 24), slice(20, 50), ("top",)),
        (slice(16, 40), slice(20, 50), ("bottom",)),
    ],
)
def test_what_its_photo_cuts_off_is_cut_off_at_the_same_side(rows, columns, sides):
    cut_off = paint((40, 60), (RED, rows, columns))
    for seed in range(8):
        mask = paste(cut_off, seed).masks[0]
        ends = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
        assert any(ends[side].any() for side in sides)


def test_what_spans_its_photo_or_is_tiny_is_not_cut_out():
    bar = paint((40, 60), (RED, slice(10, 30), slice(0, 60)), (BLUE, slice(2, 6), slice(5, 50)))
    pasted = paste(bar)
    np.testing.assert_array_equal(pasted.image, WHOLE.image)
    assert len(pasted.masks) == 1
    assert pasted.masks[0].all()


def test_things_do_not_share_pixels_and_hidden_ones_have_no_mask():
    red = paint((40, 60), (RED, slice(8, 32), slice(15, 45)))
    counts = set()
    for seed in range(30):
        pasted = paste(red, seed, most=6, sizes=(0.4, 0.9))
        things = [pasted.masks[k] for k in range(len(pasted.masks) - 1)]
        counts.add(len(things))
        assert np.sum(things, axis=0).max() <= 1
        covered = ~pasted.masks[len(things)]
        assert (np.any(things, axis=0) & ~covered).sum() == 0
        for thing in things:
            shown = is_colour(pasted.image, RED)
            assert shown[thing].mean() > 0.6
    assert counts >= {1, 2, 3}


def test_things_together_are_one_whole_too():
    """Each later one is over the one before, and at most as large as the first."""
    red = paint((40, 60), (RED, slice(8, 32), slice(15, 45)))
    numbers = set()
    for seed in range(30):
        pasted = paste(red, seed, most=3, sizes=(0.3, 0.6), together=1.0)
        masks = [pasted.masks[k] for k in range(len(pasted.masks) - 1)]
        numbers.add(len(masks))
        if len(masks) > 1:
            whole, *things = masks
            np.testing.assert_array_equal(whole, ~pasted.masks[len(masks)])
            assert (np.any(things, axis=0) & ~whole).sum() == 0
            assert label(whole)[1] == 1
    assert numbers == {1, 3, 4}


def test_what_its_photo_cuts_off_does_not_stand_over_another_thing():
    """It may come first, and then no second one comes."""
    cut_off = paint((40, 60), (RED, slice(10, 34), slice(0, 30)))
    for seed in range(10):
        assert len(paste(cut_off, seed, most=4, together=1.0).masks) == 2


def test_things_apart_have_no_mask_in_common():
    red = paint((40, 60), (RED, slice(8, 32), slice(15, 45)))
    for seed in range(10):
        pasted = paste(red, seed, most=3, sizes=(0.3, 0.6), together=0.0)
        assert np.sum([pasted.masks[k] for k in range(len(pasted.masks))], axis=0).max() == 1


def extents(mask):
    return np.array([np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (1, 0)])


def paste_inside(photo, **settings):
    """Pictures in which all of the thing is to be seen."""
    for seed in range(40):
        pasted = paste(photo, seed, **settings)
        mask = pasted.masks[0]
        if not (mask[[0, -1]].any() or mask[:, [0, -1]].any()):
            yield pasted


def test_things_are_stretched_by_up_to_the_factor():
    """24 by 30 pixels: of ratios 0.8 / 1.5 to 0.8 * 1.5; the longer side is what was drawn."""
    masks = [pasted.masks[0] for pasted in paste_inside(ALONE, stretch=1.5)]
    ratios = np.array([height / width for height, width in map(extents, masks)])
    assert ratios.min() > 0.8 / 1.5 - 0.05
    assert ratios.max() < 0.8 * 1.5 + 0.07
    assert ratios.min() < 0.65
    assert ratios.max() > 1.0
    assert all(abs(extents(mask).max() - 45) <= 2 for mask in masks)


def test_things_are_turned_by_up_to_so_many_degrees_with_their_parts():
    """A red bar of 10 by 40 pixels whose middle is blue."""
    bar = paint((60, 60), (RED, slice(25, 35), slice(10, 50)), (BLUE, slice(25, 35), slice(20, 40)))
    angles = []
    for pasted in paste_inside(bar, sizes=(0.7, 0.7), area_power=20.0, turn=40.0):
        thing, part = pasted.masks[0], pasted.masks[1]
        rows, columns = np.nonzero(thing)
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
        assert abs(extents(thing).max() - 63) <= 3
        assert is_colour(pasted.image, GREEN)[~binary_dilation(thing)].all()
        assert is_colour(pasted.image, BLUE)[binary_erosion(part, iterations=4)].all()
        assert is_colour(pasted.image, RED)[binary_erosion(thing & ~part, iterations=4)].all()
    assert len(angles) > 10
    assert -41 < min(angles) < -20
    assert 20 < max(angles) < 41


def test_what_its_photo_cuts_off_is_not_turned():
    cut_off = paint((40, 60), (RED, slice(16, 40), slice(20, 50)))
    for seed in range(8):
        mask = paste(cut_off, seed, turn=90.0).masks[0]
        assert mask[-1].any()
        assert mask.sum() > 0.93 * extents(mask).prod()


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.5), (0.5, 2 / 3), (1.0, 0.8)])
def test_large_things_are_cut_out_more_often_by_the_power_of_their_area(power, share):
    """1600 and 400 pixels; the share of the larger is 4^power / (4^power + 1)."""
    two = paint((60, 90), (RED, slice(10, 50), slice(10, 50)), (BLUE, slice(10, 30), slice(60, 80)))
    images = [paste(two, seed, area_power=power).image for seed in range(300)]
    is_red = [image[..., 0].astype(int).sum() > image[..., 2].sum() for image in images]
    assert abs(np.mean(is_red) - share) < 0.09  # three standard deviations


def test_the_draw_depends_on_the_seed_only():
    first, again, other = (paste(ALONE, seed, colour=0.4) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()


def test_things_change_their_colours_and_the_photo_keeps_its_own():
    pasted = paste(ALONE, 1, colour=0.4)
    thing = pasted.masks[0]
    assert is_colour(pasted.image, RED)[thing].mean() < 0.1
    assert is_colour(pasted.image, GREEN)[~thing].mean() > 0.95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": (0.5, 0.2)}, "sizes 0.5 to 0.2: give two positive numbers"),
        ({"sizes": (0.0, 0.2)}, "sizes 0 to 0.2: give two positive numbers"),
        ({"area_power": -1.0}, "area_power -1: give 0 (all objects are equally likely) or more"),
        ({"turn": 200.0}, "turn 200: give degrees from 0 (none) to 180"),
        ({"stretch": 0.5}, "stretch 0.5: give a factor from 1 (none)"),
        ({"together": 1.5}, "together 1.5: give a share from 0 (never) to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Pasting(path="", **settings)


def test_no_things_are_an_error():
    with pytest.raises(InputError, match="photos is empty: there is nothing to paste"):
        Paster(Photos(), Pasting(path=""))


CONFIG = LoaderConfig(frame=(96, 128), batch_size=4, num_masks=3, seed=1)


def load(paster):
    loader = Loader([Ingredient(Photos(WHOLE), paster=paster)], CONFIG)
    batch = next(loader)
    loader.close()
    return batch, loader


def test_the_loader_pastes_other_things_every_time():
    with patch.multiple(pasting, MOST_OBJECTS=1, COLOUR=0.0):
        batch, _ = load(Paster(Photos(ALONE), Pasting(path="")))
    is_thing = ~is_colour(batch.images, GREEN) & (batch.images > 0).any(axis=-1)
    areas = is_thing.sum(axis=(1, 2))
    assert areas.min() > 100
    assert len(set(areas.tolist())) == 4
    whole = batch.masks.reshape(4, 3, -1).sum(axis=-1).max(axis=-1)
    assert (whole > 0).all()


def test_bad_photos_of_things_are_counted_and_named():
    _, loader = load(Paster(Photos(ALONE, None), Pasting(path="")))
    assert list(loader.skipped) == ["photo 1 is bad"]


def test_a_state_with_other_pasting_is_refused():
    pasters = [
        None,
        Paster(Photos(ALONE), Pasting(path="a")),
        Paster(Photos(ALONE, ALONE), Pasting(path="a")),
        Paster(Photos(ALONE), Pasting(path="a", together=0.5)),
    ]
    for paster in pasters[1:]:
        state = Loader([Ingredient(Photos(WHOLE), paster=paster)], CONFIG).get_state()
        for other in pasters:
            loader = Loader([Ingredient(Photos(WHOLE), paster=other)], CONFIG)
            if other is not paster:
                with pytest.raises(InputError, match="the data have changed"):
                    loader.set_state(state)
    moved = Paster(Photos(ALONE), Pasting(path="elsewhere"))
    state = Loader([Ingredient(Photos(WHOLE), paster=pasters[1])], CONFIG).get_state()
    Loader([Ingredient(Photos(WHOLE), paster=moved)], CONFIG).set_state(state)
