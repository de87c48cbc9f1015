"""A page of results that can be mailed: tables, curves and pictures in one HTML file."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sam_jax.evaluation.results import Table, show_cell
from sam_jax.storage import write_text

PICTURE_SIDE = 360
"""Longest side of a picture on the page, in pixels."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; } figure div { display: flex; gap: 4px; } figure img { min-width: 0; flex: 1; border-radius: 4px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
"""


class Case(NamedTuple):
    """One image that is worth a look.

    Attributes:
        caption: what it is and how well it went.
        pictures: side by side, such as answer and truth.
    """

    caption: str
    pictures: tuple[UInt8[np.ndarray, "_h _w 3"], ...]


class Ranks(NamedTuple):
    """Positions in a list of scores.

    Attributes:
        best, median, worst: of the highest, the middle and the lowest scores.
    """

    best: list[int]
    median: list[int]
    worst: list[int]


def pick_cases(scores: Sequence[float], most: int) -> Ranks:
    """The best, the median and the worst, up to so many of each, and none twice."""
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable").tolist()
    most = min(most, -(-len(order) // 3))
    best = order[:most]
    worst = order[max(len(order) - most, most) :]
    between = order[len(best) : len(order) - len(worst)]
    start = max((len(between) - most) // 2, 0)
    return Ranks(best, between[start : start + most], worst[::-1])


def write_report(
    path: Path,
    title: str,
    tables: Iterable[Table],
    *,
    curves: Iterable[str] = (),
    cases: Mapping[str, Sequence[Case]] | None = None,
    settings: str = "",
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        title: what was measured.
        tables: of results.
        curves: drawings as SVG text.
        cases: pictures under headings.
        settings: what the results were made with, shown as it is at the end.
    """
    heading = html.escape(title)
    parts = [f"<h1>{heading}</h1>", *map(_format_table, tables), *curves]
    for name, some in (cases or {}).items():
        figures = "".join(map(_format_case, some))
        parts.append(f'<h2>{html.escape(name)}</h2><div class="cases">{figures}</div>')
    if settings:
        parts.append(f"<h2>Made with</h2><pre>{html.escape(settings)}</pre>")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{heading}</title><style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )
    write_text(path, page)


def _format_table(table: Table) -> str:
    def row(cells: Iterable[Any], tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(show_cell(cell))}</{tag}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    caption = html.escape(table.title)
    return f"<table><caption>{caption}</caption>{row(table.columns, 'th')}{body}</table>"


def _format_case(case: Case) -> str:
    images = "".join(f'<img alt="" src="{_encode(picture)}">' for picture in case.pictures)
    caption = html.escape(case.caption)
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>"


def _encode(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
