"""The report of an experiment: tables, plots and pictures in one HTML file that can be mailed, and the same as data."""

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sam_jax.evaluation.plots import figure_to_svg
from sam_jax.evaluation.tables import Table, describe_table, format_csv, show_cell
from sam_jax.storage import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_SIDE = 360
"""Longest side of a picture in the report, in pixels."""

RESULTS, SPREADSHEET, PAGE = "results.json", "results.csv", "report.html"
"""The files that findings are written to."""

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
        caption: What it is and how well it went.
        pictures: Pictures to be shown side by side, such as answer and truth.
    """

    caption: str
    pictures: tuple[UInt8[np.ndarray, "_h _w 3"], ...]


class Ranks(NamedTuple):
    """Positions in a list of scores.

    Attributes:
        best: Positions of the highest scores, the highest first.
        median: Positions of scores in the middle.
        worst: Positions of the lowest scores, the lowest first.
    """

    best: list[int]
    median: list[int]
    worst: list[int]


class Findings(NamedTuple):
    """What an experiment found out.

    Attributes:
        title: What was measured.
        tables: Tables of results.
        plots: Plots, by the name of their file without its ending.
        documents: Further results as JSON can hold them, by the name of their file.
        cases: Pictures under headings.
        settings: What the results were made with, as JSON can hold it.
        problems: Why images have no results, a line for each.
        notes: Choices that reading images had to make, a line for each.
    """

    title: str
    tables: Sequence[Table]
    plots: Mapping[str, "Figure"]
    documents: Mapping[str, Any]
    cases: Mapping[str, Sequence[Case]]
    settings: Mapping[str, Any]
    problems: Sequence[str]
    notes: Sequence[str] = ()

    def write(self, output: Path) -> None:
        """Write results.json, results.csv, report.html, and a file for each plot and document.

        Args:
            output: Folder of the files, which exists.

        Raises:
            InputError: The folder cannot be written to.
            RunError: The disk is full or broken.
        """
        results = {"settings": self.settings, "tables": [*map(describe_table, self.tables)]}
        plots = {name: figure_to_svg(plot) for name, plot in self.plots.items()}
        for name, document in self.documents.items():
            write_json(output / name, document)
        write_text(output / RESULTS, json.dumps(results, indent=1) + "\n")
        write_text(output / SPREADSHEET, format_csv(self.tables, self.settings))
        for name, plot in plots.items():
            write_text(output / f"{name}.svg", plot)
        page = format_report(
            self.title,
            self.tables,
            plots=plots.values(),
            cases=self.cases,
            settings=json.dumps(self.settings, indent=2),
        )
        write_text(output / PAGE, page)


def pick_cases(scores: Sequence[float], most: int) -> Ranks:
    """Pick the best, the median and the worst scores, at most `most` of each, and none twice.

    >>> pick_cases([0.5, 0.9, 0.1], 1)
    Ranks(best=[1], median=[0], worst=[2])
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable").tolist()
    most = min(most, -(-len(order) // 3))
    best = order[:most]
    worst = order[max(len(order) - most, most) :]
    between = order[len(best) : len(order) - len(worst)]
    start = max((len(between) - most) // 2, 0)
    return Ranks(best, between[start : start + most], worst[::-1])


def format_report(
    title: str,
    tables: Iterable[Table],
    *,
    plots: Iterable[str] = (),
    cases: Mapping[str, Sequence[Case]] | None = None,
    settings: str = "",
) -> str:
    """A page with everything in it, as the text of an HTML file.

    Args:
        title: What was measured.
        tables: Tables of results.
        plots: Plots as the text of SVG files.
        cases: Pictures under headings.
        settings: What the results were made with, shown as it is at the end.
    """
    heading = html.escape(title)
    # What comes before <svg> makes a file of it, and has no place inside of a page.
    drawings = (plot[plot.index("<svg") :] for plot in plots)
    parts = [f"<h1>{heading}</h1>", *map(_format_table, tables), *drawings]
    for name, some in (cases or {}).items():
        figures = "".join(map(_format_case, some))
        parts.append(f'<h2>{html.escape(name)}</h2><div class="cases">{figures}</div>')
    if settings:
        parts.append(f"<h2>Made with</h2><pre>{html.escape(settings)}</pre>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{heading}</title><style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )


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
