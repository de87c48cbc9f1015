"""Parts of a source: one to train on, and a held-out one to measure on."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sam_jax.data.example import Example, Source
from sam_jax.data.left_out import list_left_out


@runtime_checkable
class Numbered(Protocol):
    """A source whose records come to be, and have numbers that stay when others come in between."""

    def list_numbers(self) -> list[int]:
        """The number of each record, from 0 on."""
        ...


class Subset:
    """A source of some records of another source.

    Args:
        source: Source that holds the records.
        indices: Indices of the records in that source, in the order of the new one.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = indices

    @property
    def name(self) -> str:
        """Name of the whole source."""
        return self._source.name

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]

    def list_left_out(self) -> list[str]:
        """What the whole source tells of itself."""
        return list_left_out(self._source)


def hold_out(source: Source, every: int) -> tuple[Subset, Subset]:
    """Split a source into training records and held-out ones.

    Records that belong together, such as frames of a film, are better split by folder.

    Args:
        source: Source to split.
        every: Number of consecutive records of which the first is held out.
    """
    held = find_held_out(source, every)
    others = set(range(len(source))) - set(held)
    return Subset(source, sorted(others)), Subset(source, held)


def find_held_out(source: Source, every: int) -> Sequence[int]:
    """Indices of the records that are held out: of a source that grows, the same ones whatever has come meanwhile.

    Args:
        source: Source to split.
        every: Number of consecutive records, by their own numbers where they have some, of which the first is held out.
    """
    if not isinstance(source, Numbered):
        return range(0, len(source), every)
    return [index for index, number in enumerate(source.list_numbers()) if number % every == 0]
