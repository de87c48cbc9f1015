"""Sizes that files and options tell, checked against the machine's memory before any of it is asked for."""

import os

from sam_jax.types import InputError


def require_memory(needed: float | int, what: str) -> None:
    """Refuse what cannot fit into the memory of this machine.

    Args:
        needed: Bytes that are needed at least, by a careful estimate.
        what: The size that needs them, as it begins the message.

    Raises:
        InputError: The machine has less.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(
            f"{what} needs {needed / 1e9:,.0f} GB of memory or more, and this machine has {there / 1e9:,.0f} GB: "
            "choose a smaller one"
        )
