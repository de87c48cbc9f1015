import pickle

import numpy as np
import pytest

from sam_jax.data.drawn import (
    DrawnSource,
    find_unique_phrases,
    replace_word,
    sample_phrases,
)
from sam_jax.data.phrases import COLOURS, SHAPES, SIZES, TEXTURES, fits, is_held_back
from sam_jax.data.sources import open_source
from sam_jax.types import InputError


@pytest.fixture(scope="module")
def examples():
    source = DrawnSource(seed=5)
    return [source[i] for i in range(40)]


def is_new(thing):
    return is_held_back(thing.texture, thing.colour, thing.shape)


def test_examples_depend_on_seed_and_number_only(examples):
    source = pickle.loads(pickle.dumps(DrawnSource(seed=5)))
    again = source[7]
    np.testing.assert_array_equal(again.image, examples[7].image)
    assert again.objects == examples[7].objects
    assert (DrawnSource(seed=6)[7].image != again.image).any()
    assert examples[7].image.shape == (192, 256, 3)
    assert DrawnSource(size=(100, 65), things=2)[0].image.shape == (100, 65, 3)


def test_masks_are_of_the_objects(examples):
    assert np.mean([len(example.objects) for example in examples]) > 5.5
    for example in examples:
        assert len(example.masks) == len(example.objects)
        masks = np.stack([example.masks[k] for k in range(len(example.masks))])
        assert masks.sum(axis=0).max() == 1  # nothing overlaps
        for mask, thing in zip(masks, example.objects, strict=True):
            x, y = (round(middle) for middle in thing.centre)
            assert mask[y, x] != (thing.shape in ("ring", "crescent"))
            red, green, blue = np.median(example.image[mask].astype(int), axis=0)
            if thing.texture == "plain":
                assert {
                    "red": red > 1.5 * max(green, blue),
                    "green": green > 1.2 * max(red, blue),
                    "blue": blue > 1.2 * max(red, green),
                    "white": min(red, green, blue) > 180,
                }.get(thing.colour, True), thing


def test_textures_vary_and_plain_things_do_not(examples):
    for example in examples:
        for k, thing in enumerate(example.objects):
            spread = example.image[example.masks[k]].std(axis=0).max()
            if thing.size != "small":
                assert (spread > 22) == (thing.texture != "plain"), thing


def test_sizes_are_told_apart(examples):
    radii = {size: [] for size in (*SIZES, "medium")}
    for example in examples:
        for k, thing in enumerate(example.objects):
            if thing.shape in ("circle", "ring"):
                radii[thing.size].append(np.ptp(np.flatnonzero(example.masks[k].any(axis=0))))
    assert max(radii["small"]) < min(radii["medium"])
    assert max(radii["medium"]) < min(radii["large"])


def test_everything_is_drawn_but_what_is_held_back(examples):
    things = [thing for example in examples for thing in example.objects]
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.texture for thing in things} == set(TEXTURES)
    assert not any(is_new(thing) for thing in things)
    for example in map(DrawnSource(held_back=True).__getitem__, range(10)):
        assert is_new(example.objects[0])


def test_phrases_for_one_thing(examples):
    objects = examples[0].objects
    for index, thing in enumerate(objects):
        for phrase in find_unique_phrases(objects, index):
            assert [fits(phrase, other, objects) for other in objects].count(True) == 1
            assert fits(phrase, thing, objects)


def test_sampled_phrases_are_no_held_back_words(examples):
    rng = np.random.default_rng(0)
    fitting = 0
    for example in examples:
        phrases = sample_phrases(rng, example.objects, 10, absent=0.3)
        assert len(phrases) == 10
        for phrase in phrases:
            assert not is_held_back(phrase.texture, phrase.colour, phrase.shape)
            assert not is_held_back(*replace_word(rng, phrase)[1:4])
            fitting += any(fits(phrase, thing, example.objects) for thing in example.objects)
    assert 270 < fitting < 390


def test_by_name():
    source = open_source("drawn:3")
    assert (source.name, source.held_back) == ("drawn-3", False)
    assert open_source("drawn-new").name == "drawn-new-0"
    with pytest.raises(InputError, match="as in drawn-new:0"):
        open_source("drawn-new:x")


@pytest.mark.parametrize("settings", [{"seed": -1}, {"size": (32, 64)}, {"things": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(InputError):
        DrawnSource(**settings)
