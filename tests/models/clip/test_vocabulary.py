import hashlib

import jax
import numpy as np
import pytest

from sam_jax.data.phrases import MOST_WORDS, WORDS
from sam_jax.models.clip import CLIP_TINY, abstract_clip, learn_words
from sam_jax.models.clip.tokeniser import END, START
from sam_jax.types import InputError


def test_every_word_has_a_token_of_its_own():
    tokeniser = learn_words(WORDS, 16)
    tokens = tokeniser(list(WORDS))
    assert len(set(tokens[:, 1])) == len(WORDS)
    start, end = tokeniser.words[START], tokeniser.words[END]
    assert (tokens[:, 0] == start).all()
    assert (tokens[:, 2:] == end).all()
    of_phrase = tokeniser(["A red  circle"])[0]
    np.testing.assert_array_equal(
        of_phrase[1:5], [*(tokens[WORDS.index(word), 1] for word in ("a", "red", "circle")), end]
    )


def test_other_words_are_refused():
    tokeniser = learn_words(WORDS, 16)
    assert len(tokeniser(["A red, small circle!"])) == 1
    for word in ("wheel", "Rad", "колесо", "🙂", "d", "re"):
        with pytest.raises(InputError, match="none of the few words"):
            tokeniser([f"red {word}"])
        tokens = tokeniser.tokenise([word])[0]
        assert tokens[1] != tokeniser.words[END]  # of letters, which all have tokens


def test_it_is_the_same_each_time():
    tokeniser = learn_words(WORDS, 16)
    text = repr((tokeniser.words, tokeniser.merges))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "3a6024e8942e5795"


def test_the_small_clip_fits_the_words():
    leaves = jax.tree.leaves(abstract_clip(CLIP_TINY))
    assert sum(leaf.size for leaf in leaves) == 509_090
    assert len(learn_words(WORDS, 16).words) == CLIP_TINY.text.vocabulary
    assert CLIP_TINY.text.context >= MOST_WORDS + 2
