"""The weights of a transformer's blocks, of which only one of each kind is traced: the others are like it."""

from collections.abc import Sequence
from typing import Any


def repeat_blocks(tower: dict[str, Any], kinds: Sequence[bool]) -> None:
    """Puts a block for each of `kinds` in place of one of each kind, which are there in ascending order.

    >>> tower = {"blocks_0": "in windows", "blocks_1": "global", "norm": "as it is"}
    >>> repeat_blocks(tower, [False, True, False])
    >>> [tower[f"blocks_{index}"] for index in range(3)]
    ['in windows', 'global', 'in windows']

    Args:
        tower: Weights of the transformer, changed in place.
        kinds: Kind of each block.
    """
    of_kind = {kind: tower.pop(f"blocks_{index}") for index, kind in enumerate(sorted(set(kinds)))}
    for index, kind in enumerate(kinds):
        tower[f"blocks_{index}"] = of_kind[kind]
