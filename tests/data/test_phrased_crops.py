import numpy as np
import pytest

from sam_jax.data.drawn import DrawnSource
from sam_jax.data.example import Example, RecordError
from sam_jax.data.loader import Ingredient, Loader, LoaderConfig
from sam_jax.data.object_crops import crop_object
from sam_jax.data.phrased_crops import CropSettings, PhrasedBatch, number_words, phrase_example
from sam_jax.data.phrases import WORDS, fits, read_phrase
from sam_jax.types import InputError

SETTINGS = CropSettings(image_size=(16, 24), patch_size=8, phrases=10)


@pytest.fixture(scope="module")
def drawing():
    return DrawnSource(seed=2, size=(100, 140), things=4)[0]


def read_words(row):
    return " ".join(WORDS[number] for number in row if number >= 0)


def test_crops_and_what_fits_them(drawing):
    settings = CropSettings(image_size=(16, 24), patch_size=8, phrases=40, most_growth=1.0)
    example = phrase_example(drawing, 6, settings, np.random.default_rng(0))
    assert example.images.shape == (6, 16, 24, 3)
    assert example.patches.shape == (6, 2, 3)
    assert example.valid.tolist() == [True] * 4 + [False] * 2
    assert not example.images[4:].any()
    assert not example.fits[4:].any()
    phrases = [read_phrase(read_words(row)) for row in example.words]
    found = []
    for k in range(4):
        for index, thing in enumerate(drawing.objects):
            for is_alone in (False, True):
                mask = drawing.masks[index]
                crop = crop_object(
                    drawing.image, mask, (16, 24), 8, growth=1.0, zero_background=is_alone
                )
                if np.array_equal(crop.pixels, example.images[k]):
                    found.append(index)
                    np.testing.assert_array_equal(crop.patches, example.patches[k])
                    wanted = [fits(phrase.appearance, thing) for phrase in phrases]
                    assert example.fits[k].tolist() == wanted
    assert sorted(found) == [0, 1, 2, 3]
    assert 0.1 < example.fits[:4].mean() < 0.7
    assert not example.fits[:4].any(axis=0).all()  # some phrases fit nothing


def test_numbers_of_words():
    rows = number_words(["the circle", "small star above the red ring"])
    assert [read_words(row) for row in rows] == ["the circle", "small star above the red ring"]
    assert rows.shape == (2, 12)


def test_batches_and_their_position(drawing):
    config = LoaderConfig(frame=(16, 24), batch_size=3, num_masks=4, crops=SETTINGS)
    source = DrawnSource(seed=2, size=(100, 140), things=4)
    loader = Loader([Ingredient(source)], config)
    first = next(loader)
    assert isinstance(first, PhrasedBatch)
    assert first.images.shape == (3, 4, 16, 24, 3)
    assert first.words.shape == (3, 10, 12)
    state, second = loader.get_state(), next(loader)
    loader.set_state(state)
    for leaf, again in zip(second, next(loader), strict=True):
        np.testing.assert_array_equal(leaf, again)
    loader.close()
    other = CropSettings(image_size=(16, 24), patch_size=8, phrases=11)
    changed = Loader(
        [Ingredient(source)],
        LoaderConfig(frame=(16, 24), batch_size=3, num_masks=4, crops=other),
    )
    with pytest.raises(InputError, match="data have changed"):
        changed.set_state(state)


def test_other_images_have_no_phrases(drawing):
    photo = Example("photo", drawing.image, drawing.masks)
    with pytest.raises(RecordError, match="nothing is known of its objects"):
        phrase_example(photo, 4, SETTINGS, np.random.default_rng(0))


@pytest.mark.parametrize("settings", [{"phrases": 0}, {"absent": 1.5}, {"most_growth": 0.5}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(InputError):
        CropSettings(image_size=(16, 24), patch_size=8, **settings)
