"""Words of a small CLIP that is trained from nothing."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from sam_jax.models.clip.tokeniser import END, START, ClipTokeniser, import_tokenizers

_END_OF_WORD = "</w>"


def learn_words(words: Sequence[str], context: int) -> ClipTokeniser:
    """A tokeniser with a token of its own for each of some words, which refuses all others in phrases.

    Byte pairs are joined by how often they occur, and in alphabetical order where that is equal: the trainer of the
    package `tokenizers` joins them in another order each time.

    Args:
        words: Words in lower case, of the letters a to z.
        context: Number of tokens of a phrase.

    Raises:
        InputError: The package `tokenizers` is not installed.
    """
    import_tokenizers()
    from tokenizers import pre_tokenizers

    parts = [(*word[:-1], word[-1] + _END_OF_WORD) for word in words]
    merges = []
    while counts := Counter(pair for word in parts for pair in pairwise(word)):
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(pair)
        parts = [_join(word, pair) for word in parts]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = [*alphabet, *(letter + _END_OF_WORD for letter in alphabet)]
    tokens = dict.fromkeys([*letters, *("".join(pair) for pair in merges), START, END])
    return ClipTokeniser(
        {part: number for number, part in enumerate(tokens)}, merges, context=context, known=words
    )


def _join(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in word:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)
