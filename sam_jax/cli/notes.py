"""Warnings about what a user handed in, as one line each."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sam_jax.types import InputWarning


@contextmanager
def one_line_notes() -> Iterator[None]:
    """Show every `InputWarning` on standard error as one line, without the place in the code that gave it."""
    with warnings.catch_warnings():
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, InputWarning):
                print("note:", " ".join(str(message).splitlines()), file=sys.stderr)
            else:
                show_others(message, category, *place)

        warnings.showwarning = show  # pyright: ignore[reportAttributeAccessIssue]
        warnings.simplefilter("always", InputWarning)
        yield
