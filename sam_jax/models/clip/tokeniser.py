"""Phrases as CLIP's tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from sam_jax.ops.arguments import describe
from sam_jax.types import InputError

START, END = "<|startoftext|>", "<|endoftext|>"
"""Words of the vocabulary that begin and end every phrase."""
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
"""What CLIP cuts a text into before it looks for parts of words."""


class ClipTokeniser:
    """CLIP's tokeniser: parts of words by byte pairs, in lower case, with the words of start and end.

    A phrase that is longer than the model's context is cut; its last token is still that of the end, as in
    `transformers`. Phrases that are shorter are filled up with it; what lies behind the first one changes nothing.

    Args:
        words: Index of each part of a word, with `START` and `END`; a part that ends a word ends in `</w>`.
        merges: Pairs of parts in the order in which they are joined.
        context: Number of tokens of a phrase.
        known: Words that the model has learned, where these are few: others are refused. None for models that know what
            parts of words mean.

    Raises:
        InputError: The package `tokenizers` is not installed, or the words and merges don't fit together.
    """

    def __init__(
        self,
        words: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        *,
        context: int = 77,
        known: Sequence[str] | None = None,
    ) -> None:
        tokenizers = import_tokenizers()
        absent = [word for word in (START, END) if word not in words]
        if absent:
            raise InputError(f"the vocabulary of a CLIP has the word {absent[0]}, and this has not")
        from tokenizers import Regex, models, normalizers, pre_tokenizers

        self.context = context
        self.known = None if known is None else tuple(known)
        self.words = dict(words)
        self.merges = [(first, second) for first, second in merges]
        try:
            model = models.BPE(
                vocab=self.words,
                merges=self.merges,
                unk_token=END,
                end_of_word_suffix="</w>",
                continuing_subword_prefix="",
            )
        except Exception as error:  # of Rust, and of no class of its own
            raise InputError(f"the merges do not fit the vocabulary: {error}") from error
        self._tokenizer = tokenizers.Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.NFC(),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Lowercase(),
            ]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._tokenizer.add_special_tokens([START, END])

    def __repr__(self) -> str:
        return f"ClipTokeniser({len(self.words)} words, {self.context} tokens)"

    def __call__(self, phrases: Any) -> Int[np.ndarray, "n t"]:
        """Tokens of phrases.

        Args:
            phrases: List of phrases, in any script.

        Raises:
            InputError: A phrase is no text, there is nothing in it, or the model has learned few words, and not all of
                its words.
        """
        for phrase in check_phrases(phrases):
            if not phrase.strip():
                raise InputError("a phrase says what to look for; this one is empty")
            if self.known is not None:
                _check_known(phrase, self.known)
        return self.tokenise(phrases)

    def tokenise(self, texts: Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Tokens of any texts, also of empty ones."""
        tokens = np.full((len(texts), self.context), self.words[END], np.int32)
        for row, encoded in zip(tokens, self._encode(texts), strict=True):
            inner = encoded[: self.context - 2]
            row[0] = self.words[START]
            row[1 : 1 + len(inner)] = inner
            row[1 + len(inner)] = self.words[END]
        return tokens

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def import_tokenizers() -> Any:
    """The package `tokenizers`.

    Raises:
        InputError: It is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            "phrases need the package tokenizers: pip install 'sam-jax[text]'"
        ) from error
    return tokenizers


def _check_known(phrase: str, known: Sequence[str]) -> None:
    words = [word for part in phrase.lower().split() if (word := part.strip(".,;:!?'\""))]
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None or not words:
        raise InputError(
            f"{phrase!r}: {unknown or phrase!r} is none of the few words of this small CLIP ({', '.join(known)}); "
            "`sam-jax download clip_vit_l_14_336` brings one that knows most (0.9 GB), or --clip names a folder or file"
        )


def check_phrases(phrases: Any) -> Sequence[str]:
    """The phrases, if they are texts.

    Raises:
        InputError: They are one text, or something else is among them.
    """
    if isinstance(phrases, str):
        raise InputError(f"phrases are a list: write [{phrases!r}]")
    if not isinstance(phrases, Sequence):
        raise InputError(f"phrases are a list of texts, not {describe(phrases)}")
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise InputError(f"a phrase is a text, not {describe(phrase)}")
    return phrases
