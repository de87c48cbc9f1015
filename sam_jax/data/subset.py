"""Parts of a source: what to train on, and what to hold back for measuring."""

from collections.abc import Sequence

from sam_jax.data.example import Example, Source


class Subset:
    """A source of some of another's records.

    Args:
        source: the other.
        indices: of its records, in order.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = indices

    @property
    def name(self) -> str:
        """The whole source's."""
        return self._source.name

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]


def hold_out(source: Source, every: int) -> tuple[Subset, Subset]:
    """Split a source: most of its records, and one in `every`, beginning with the first.

    Records that belong together, such as frames of a film, are better split by folder.
    """
    held = range(0, len(source), every)
    return Subset(source, [i for i in range(len(source)) if i % every]), Subset(source, held)
