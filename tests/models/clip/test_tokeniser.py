import random

import jax
import numpy as np
import pytest
import transformers
from jax._src import test_util

from sam_jax.models.clip import (
    ClipConfig,
    ClipModel,
    ClipTextConfig,
    ClipTokeniser,
    embed_text,
    init_clip,
)
from sam_jax.types import InputError
from tests.clip_models import SMALL, learn_words

LINES = [
    "a photo of a wheel",
    "the striped red circle left of the small green triangle",
    "a dog's bowl, and the cat's; they're on the table (1996)",
    "ein Straßenschild über der Tür",
    "une école près de la forêt",
    "красная машина на улице",
    "一輪の花と赤い車",
    "عجلة حمراء",
    "हरा पेड़",
    "café naïve ﬁne Å ǅ ŉ İstanbul",
]
ODD = [
    "",
    "   ",
    "\t\n\x00 \x1f",
    "a" * 3000,
    "wheel " * 300,
    "<|startoftext|> a <|endoftext|> wheel<|endoftext|>",
    "🦊🏳️‍🌈👩‍👩‍👧‍👦 fox",
    "e\u0301 vs \u00e9",
    "non\u00a0breaking\u2003space\u200bzero",
    "don't DON'T we'll WE'LL 's's ''s",
    "&amp; &lt;b&gt; &quot;",
    "1234567890 ½ Ⅷ ٣",
    "\ufeffbom \ufffd \u202eright",
]


def make_lines(count: int) -> list[str]:
    """Lines of words, digits, marks, emoji and any characters at all."""
    draw = random.Random(5)
    words = [word for line in LINES for word in line.split()]
    emoji = [chr(code) for code in range(0x1F300, 0x1F6FF)]
    lines = [*LINES, *ODD]
    while len(lines) < count:
        parts = []
        for _ in range(draw.choice([1, 3, 8, 8, 120])):
            kind = draw.random()
            if kind < 0.6:
                parts.append(draw.choice([str, str.upper, str.title])(draw.choice(words)))
            elif kind < 0.7:
                parts.append(str(draw.randrange(10**6)))
            elif kind < 0.8:
                parts.append(draw.choice(emoji))
            else:
                codes = [draw.choice([draw.randrange(1, 0xD800), draw.randrange(0xE000, 0x11000)])]
                parts.append("".join(map(chr, codes)) + draw.choice(["", "'s", "!?", "\u0301"]))
        lines.append(draw.choice([" ", "", "  ", "\t"]).join(parts))
    return lines


@pytest.fixture(scope="module")
def words_and_merges():
    return learn_words(LINES * 3)


def test_tokens_of_4000_lines_as_transformers(words_and_merges):
    words, merges = words_and_merges
    theirs = transformers.CLIPTokenizer(vocab=words, merges=merges)
    lines = make_lines(4000)
    ours = ClipTokeniser(words, merges).tokenise(lines)
    expected = theirs(lines, padding="max_length", truncation=True, max_length=77)["input_ids"]
    np.testing.assert_array_equal(ours, np.array(expected))
    ends = [list(row).index(words["<|endoftext|>"]) for row in ours]
    assert {76, 1} <= set(ends)
    assert len({tuple(row) for row in ours}) > 3500


def test_other_phrases_and_numbers_of_them_compile_nothing(words_and_merges):
    words, merges = words_and_merges
    config = ClipConfig(
        text=ClipTextConfig(
            width=32, depth=1, num_heads=4, mlp_width=48, context=12, vocabulary=len(words)
        ),
        image=SMALL.image,
        width=20,
    )
    model = ClipModel(config, init_clip(config), tokeniser=ClipTokeniser(words, merges, context=12))
    first = embed_text(model, ["a wheel", "the red circle"])
    one = embed_text(model, ["a wheel"])
    np.testing.assert_allclose(first[:1], one, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    with test_util.count_jit_and_pmap_lowerings() as count:
        again = embed_text(model, ["A  Wheel", "красная машина", "e" * 400])
        embed_text(model, ["forêt"])
    assert count() == 0
    np.testing.assert_array_equal(again[0], first[0])
    assert jax.tree.structure(model).num_leaves == jax.tree.structure(model.variables).num_leaves


@pytest.mark.parametrize(
    ("phrases", "told"),
    [
        ([""], "this one is empty"),
        (["a wheel", " \n"], "this one is empty"),
        ("a wheel", r"phrases are a list: write \['a wheel'\]"),
        ([None], "a phrase is a text, not None"),
        (7, "phrases are a list of texts, not 7"),
    ],
)
def test_what_is_no_phrase(words_and_merges, phrases, told):
    with pytest.raises(InputError, match=told):
        ClipTokeniser(*words_and_merges)(phrases)


def test_words_that_do_not_fit(words_and_merges):
    words, merges = words_and_merges
    with pytest.raises(InputError, match=r"has the word <\|startoftext\|>, and this has not"):
        ClipTokeniser({"a": 0}, [])
    with pytest.raises(InputError, match="the merges do not fit the vocabulary"):
        ClipTokeniser(words, [*merges, ("zzz", "qqq")])
