"""Tables for people: whole lines, few digits, and what is left out said below."""

import io
import math
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pricetracker_dagster.candles import digits as figures
from pricetracker_dagster.cli.writing import write
from pricetracker_dagster.reading.values import as_iso

TABLE_ROWS = 1000
"""What a table shows at most: nobody reads on, and to lay out more costs a terminal seconds."""

_DIGITS = 10


def print_table(columns: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as a table; columns of numbers are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name, is_numeric in zip(columns, numeric, strict=True):
        table.add_column(Text(name), justify="right" if is_numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    # onto paper first: rich has its own idea of a closed pipe and a full disk
    paper, colours = _Paper(), True if sys.stdout.isatty() else None
    # whole lines, nothing cut off, also where the window is narrower
    width = Console(file=paper, width=10_000).measure(table).maximum
    Console(file=paper, width=width, force_terminal=colours).print(table)
    write(paper.getvalue().encode(paper.encoding, "replace"))


class _Paper(io.StringIO):
    """Text in memory that can take what standard output can."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding


def say_how_many(rows: int | None) -> None:
    """Print how many rows a table leaves out; None: nobody has counted them."""
    if rows is None or rows > TABLE_ROWS:
        total = f"more than {TABLE_ROWS:,}" if rows is None else f"{rows:,}"
        write(f"{TABLE_ROWS:,} of {total} rows; all of them: --format csv, or json\n".encode())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, float):
        return figures.shown(value, _DIGITS)
    return as_iso(value) if isinstance(value, datetime) else str(value)
