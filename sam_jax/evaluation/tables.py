"""Tables of results: on a screen, as JSON, as CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as ScreenTable

Cell = str | int | float | None
"""A text, a count, a measure, or nothing where there is none."""


class Table(NamedTuple):
    """Rows of results under named columns.

    Attributes:
        title: What was measured, and on what.
        columns: Names of the columns; the first column says what each row is about.
        rows: Cells of each row, as many as there are columns. Measures keep all their digits.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def show_cell(cell: Cell) -> str:
    """A cell as people read it: measures with four digits after the point, a dash for nothing."""
    if cell is None:
        return "-"
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def print_table(table: Table) -> None:
    """Print a table on the screen."""
    screen = ScreenTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        screen.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        screen.add_row(*map(show_cell, row))
    # A table that is cut off to fit a narrow screen tells less than lines that wrap.
    unlimited = Console(width=10_000)
    needed = Measurement.get(unlimited, unlimited.options, screen).maximum
    Console(width=max(Console().width, needed)).print(screen)


def describe_table(table: Table) -> dict[str, Any]:
    """A table as JSON can hold it: the title, and each row as a dictionary by column."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {"title": table.title, "rows": rows}


def format_csv(tables: Sequence[Table], settings: Mapping[str, Any]) -> str:
    """Tables as lines of table, row, column and value, so that one file holds tables of any columns.

    Args:
        tables: Tables of results.
        settings: What the results were made with, as JSON can hold it; a table of its own in the file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("table", "row", "column", "value"))
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns[1:], row[1:], strict=True):
                writer.writerow((table.title, row[0], column, "" if cell is None else cell))
    for name, value in settings.items():
        text_value = value if isinstance(value, str) else json.dumps(value)
        writer.writerow(("settings", name, "value", text_value))
    return text.getvalue()
