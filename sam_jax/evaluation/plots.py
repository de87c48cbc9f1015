"""What all plots share: colours, and a figure as SVG text."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which people with any colour vision can tell apart; used again after the last."""

_SETTINGS: Any = {
    "svg.hashsalt": "sam_jax",  # otherwise names in the text are random
    "svg.fonttype": "none",  # text stays text
}
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def new_plot(width: float, height: float) -> tuple["Figure", "Axes"]:
    """An empty plot with a light grid, outside of matplotlib's global state.

    Args:
        width: Width in inches, labels included.
        height: Height in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def figure_to_svg(figure: "Figure") -> str:
    """An SVG file's text; equal figures give equal texts."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(text, format="svg", metadata=_METADATA)
    return text.getvalue()
