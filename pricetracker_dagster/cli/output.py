"""How rows are printed: as a table for people, as CSV or JSON for programs; and the bar of what takes long."""

import json
import math
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd


def show(frame: "pd.DataFrame", shape: str) -> None:
    """Print a frame. Times are ISO 8601, those with a zone in UTC; in csv and json numbers keep their digits."""
    for name in frame.select_dtypes("object").columns:
        frame[name] = frame[name].map(_without_numpy, na_action="ignore")
    for name in frame.select_dtypes("datetimetz").columns:
        frame[name] = frame[name].dt.tz_convert("UTC").map(_as_iso, na_action="ignore")
    if shape == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
    elif shape == "json":
        rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
        click.echo(json.dumps(_as_json(rows)))  # not to_json(), which keeps 15 digits of 17
    else:
        _table(frame)


def _as_iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _without_numpy(value: Any) -> Any:
    """Return a list as Python's own, which every format knows how to write."""
    return value.tolist() if hasattr(value, "tolist") else value


def _as_json(value: Any) -> Any:
    """Return what JSON has a way to write: no NaN, no infinity, no type of numpy, pandas or SQL."""
    value = _without_numpy(value)
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, int | str):
        return value
    return _as_iso(value) if isinstance(value, datetime) else str(value)


def _table(frame: "pd.DataFrame") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name, dtype in frame.dtypes.items():
        table.add_column(Text(str(name)), justify="right" if dtype.kind in "iuf" else "left", no_wrap=True)
    absent = frame.isna()
    for row, gaps in zip(frame.itertuples(index=False), absent.itertuples(index=False), strict=True):
        table.add_row(*(Text("" if gap else _cell(value)) for value, gap in zip(row, gaps, strict=True)))
    # whole lines, nothing cut off, also where the window is narrower
    console = Console(width=Console(width=10_000).measure(table).maximum)
    with console.capture() as printed:  # rich has its own idea of a closed pipe
        console.print(table)
    click.echo(printed.get(), nl=False)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def progress_bar() -> Any:
    """Return a bar of what takes long; it shows nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, disable=not sys.stdout.isatty())
