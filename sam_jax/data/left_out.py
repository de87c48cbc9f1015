"""What of a data set is not used, and how that is said."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sam_jax.data.example import Source

MOST_NAMED = 5
"""The most reasons that one message gives."""


@runtime_checkable
class KnowsLeftOut(Protocol):
    """A source that can tell what cannot be used before it is read."""

    def list_left_out(self) -> list[str]:
        """Reasons why photos or objects are left out, one for each."""
        ...


def list_left_out(source: Source) -> list[str]:
    """What a source tells of itself; nothing if it cannot tell."""
    return source.list_left_out() if isinstance(source, KnowsLeftOut) else []


def summarise_reasons(reasons: Sequence[str]) -> str:
    """The number of reasons, and the first few.

    >>> summarise_reasons(["a.jpg: no a.json beside it", "b.jpg: no b.json beside it"])
    '2 (a.jpg: no a.json beside it; b.jpg: no b.json beside it)'
    """
    named = "; ".join(reasons[:MOST_NAMED])
    more = len(reasons) - MOST_NAMED
    return f"{len(reasons)} ({named}{f'; and {more} more' if more > 0 else ''})"
