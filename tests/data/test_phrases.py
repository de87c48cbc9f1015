import itertools

import pytest

from sam_jax.data.phrases import (
    COLOURS,
    EXAMPLE,
    MOST_WORDS,
    SHAPES,
    TEXTURES,
    WORDS,
    DrawnObject,
    Phrase,
    find_relation,
    find_unknown_words,
    fits,
    is_held_back,
    list_phrases,
    read_phrase,
)
from sam_jax.types import InputError

CIRCLE = DrawnObject("small", "striped", "red", "circle", (10.0, 20.0))
SQUARE = DrawnObject("medium", "plain", "blue", "square", (50.0, 25.0))
STAR = DrawnObject("large", "plain", "red", "star", (12.0, 60.0))
THINGS = (CIRCLE, SQUARE, STAR)


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("red circle", [CIRCLE]),
        ("a striped red circle", [CIRCLE]),
        ("plain red circle", []),
        ("red thing", [CIRCLE, STAR]),
        ("plain shape", [SQUARE, STAR]),
        ("the large thing", [STAR]),
        ("Small Red Circle.", [CIRCLE]),
        ("small thing left of the blue square", [CIRCLE]),
        ("thing left of the blue square", [CIRCLE, STAR]),
        ("red shape below a small circle", [STAR]),
        ("thing above the star", [CIRCLE]),
        ("thing right of a thing", [SQUARE]),
        ("blue square left of the circle", []),
    ],
)
def test_what_phrases_fit(text, fitting):
    assert [thing for thing in THINGS if fits(text, thing, THINGS)] == fitting


def test_all_phrases_that_fit():
    for thing in THINGS:
        phrases = list_phrases(thing, THINGS)
        assert len(set(phrases)) == len(phrases)
        for phrase in phrases:
            assert fits(phrase, thing, THINGS)
            assert read_phrase(f"the {phrase}") == phrase
            assert len(f"the {phrase}".split()) <= MOST_WORDS
    alone = {str(phrase) for phrase in list_phrases(SQUARE)}
    assert alone == {
        *("square", "blue square", "blue thing", "plain square", "plain thing"),
        *("plain blue square", "plain blue thing"),
    }
    assert Phrase(
        "small", "striped", "red", "circle", "left of", Phrase(colour="blue", shape="square")
    ) in (list_phrases(CIRCLE, THINGS))


def test_relations_have_opposites():
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for one, other in itertools.permutations(THINGS, 2):
        assert opposite[find_relation(one, other)] == find_relation(other, one)
    assert find_relation(CIRCLE, CIRCLE) is None


def test_appearance_leaves_out_what_a_crop_cannot_show():
    assert str(read_phrase(EXAMPLE).appearance) == "striped red circle"


def test_what_is_held_back():
    colours = [(c, s) for c, s in itertools.product(COLOURS, SHAPES) if is_held_back(None, c, s)]
    assert len(colours) == 8
    assert len({c for c, _ in colours}) == len({s for _, s in colours}) == 8
    textures = [(t, s) for t, s in itertools.product(TEXTURES, SHAPES) if is_held_back(t, None, s)]
    assert len(textures) == 4
    assert len({t for t, _ in textures}) == len({s for _, s in textures}) == 4
    assert not any(is_held_back(t, c, None) for t, c in itertools.product(TEXTURES, COLOURS))
    assert is_held_back("plain", *colours[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red wheel", "'wheel' is no word of drawings"),
        ("rotes Rad", "'rotes' is no word"),
        ("红色圆形", "is no word"),
        ("red blue circle", "is no phrase of drawings"),
        ("left of the circle", "is no phrase|names no thing"),
        ("circle left of", "is no phrase"),
        ("the", "names no thing"),
        ("", "names no thing"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_phrase(text)
    assert "\n" not in str(caught.value)


def test_unknown_words():
    assert find_unknown_words("A red, small circle!") == []
    assert find_unknown_words("a red wheel of 3") == ["wheel", "3"]
    assert len(set(WORDS)) == len(WORDS) == 32
