"""Parts of a source: one to train on, and a held-out one to measure on."""

from collections.abc import Sequence

from sam_jax.data.example import Example, Source
from sam_jax.data.left_out import list_left_out


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
    held = range(0, len(source), every)
    return Subset(source, [i for i in range(len(source)) if i % every]), Subset(source, held)
