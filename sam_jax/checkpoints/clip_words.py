"""CLIP's words in files: Hugging Face's vocab.json, merges.txt and tokenizer.json, and OpenAI's list of merges."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from sam_jax.models.clip import ClipTokeniser
from sam_jax.models.clip.tokeniser import END, START
from sam_jax.storage import write_json, write_text
from sam_jax.types import CheckpointError, InputError

OPENAI_MERGES = "bpe_simple_vocab_16e6.txt.gz"
"""OpenAI's list of merges, of which CLIP has the first."""
OPENAI_MERGES_URL = f"https://github.com/openai/CLIP/raw/main/clip/{OPENAI_MERGES}"
_END_OF_WORD = "</w>"
_SETTINGS, _KNOWN = "tokenizer_config.json", "known_words"
"""The file and the name of the words that a model has learned, where these are few."""
_LARGEST_FILE = 64 << 20


def read_words(folder: Path, context: int, vocabulary: int) -> ClipTokeniser:
    """The tokeniser whose files lie in a folder.

    Args:
        folder: Folder of the weights.
        context: Number of tokens of a phrase.
        vocabulary: Number of words that the model knows.

    Raises:
        InputError: There are no such files, or the package `tokenizers` is absent.
        CheckpointError: A file is damaged, or its words are not the model's.
    """
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        source = folder / "vocab.json"
        words = _check_words(source, _read_json(source))
        merges = _read_merges(folder / "merges.txt", _read(folder / "merges.txt"))
    elif (folder / "tokenizer.json").is_file():
        source = folder / "tokenizer.json"
        words, merges = _read_tokenizer(source)
    elif (folder / OPENAI_MERGES).is_file():
        source = folder / OPENAI_MERGES
        merges = _read_merges(source, _unpack(source))
        letters = _letters()
        merges = merges[: max(0, vocabulary - 2 * len(letters) - 2)]
        parts = [*letters, *(letter + _END_OF_WORD for letter in letters)]
        parts += ["".join(pair) for pair in merges]
        words = {part: index for index, part in enumerate([*parts, START, END])}
    else:
        raise InputError(
            f"{folder} has no words for CLIP: put {OPENAI_MERGES} there, from {OPENAI_MERGES_URL}, or the vocab.json "
            "and merges.txt of Hugging Face's folder"
        )
    if len(words) > vocabulary or max(words.values(), default=0) >= vocabulary:
        raise CheckpointError(
            f"{source} has {len(words)} words with numbers up to {max(words.values(), default=0)}, the model knows "
            f"{vocabulary}: they belong to another model"
        )
    try:
        return ClipTokeniser(words, merges, context=context, known=_read_known(folder / _SETTINGS))
    except InputError as error:
        raise CheckpointError(f"{source}: {error}") from error


def write_words(folder: Path, tokeniser: ClipTokeniser) -> None:
    """Write vocab.json, merges.txt and what Hugging Face's tokeniser wants beside them.

    Raises:
        InputError: The folder cannot be written to.
        RunError: The disk is full or broken.
    """
    write_json(folder / "vocab.json", tokeniser.words)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in tokeniser.merges)]
    write_text(folder / "merges.txt", "\n".join(lines) + "\n")
    known = {} if tokeniser.known is None else {_KNOWN: list(tokeniser.known)}
    write_json(
        folder / _SETTINGS,
        {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": START,
            "eos_token": END,
            "pad_token": END,
            "unk_token": END,
            "do_lower_case": True,
            "model_max_length": tokeniser.context,
            **known,
        },
    )


def _read_known(path: Path) -> list[str] | None:
    """The words that a model has learned, where a file tells that these are few."""
    settings = _read_json(path) if path.is_file() else {}
    known = settings.get(_KNOWN) if isinstance(settings, dict) else None
    if known is not None and not (
        isinstance(known, list) and all(isinstance(word, str) for word in known)
    ):
        raise CheckpointError(f"{path}: {_KNOWN} is no list of words")
    return known


def _read_tokenizer(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Words and merges of a tokenizer.json."""
    document = _read_json(path)
    try:
        model = document["model"]
        added = {word["content"]: word["id"] for word in document.get("added_tokens") or []}
        words = _check_words(path, {**model["vocab"], **added})
        # One text each, or a pair since version 0.20 of the package.
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        return words, [_pair(path, pair) for pair in pairs]
    except (LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no tokeniser of byte pairs") from error


def _check_words(path: Path, words: Any) -> dict[str, int]:
    if not isinstance(words, dict) or not all(
        type(number) is int and number >= 0 for number in words.values()
    ):
        raise CheckpointError(f"{path} is no list of words and their numbers")
    return words


def _read_merges(path: Path, content: bytes) -> list[tuple[str, str]]:
    """Pairs of a file that has one a line, after a line that tells its version."""
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no text in UTF-8") from error
    if lines and lines[0].startswith(("#version", '"bpe_simple_vocab')):
        lines = lines[1:]
    return [_pair(path, line.split()) for line in lines if line.strip()]


def _pair(path: Path, parts: Any) -> tuple[str, str]:
    match parts:
        case [str() as first, str() as second]:
            return first, second
    raise CheckpointError(f"{path}: {str(parts)[:60]} is no pair of parts of words")


def _letters() -> list[str]:
    """The character that stands for each byte, in CLIP's order: those that print, then the others from U+0100 on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printing]
    return [*map(chr, printing), *(chr(0x100 + index) for index in range(len(others)))]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error})") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    return _check_length(path, content)


def _unpack(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error})") from error
    return _check_length(path, content)


def _check_length(path: Path, content: bytes) -> bytes:
    if len(content) > _LARGEST_FILE:
        raise CheckpointError(f"{path} is too large for a list of words")
    return content
