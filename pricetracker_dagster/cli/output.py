"""Prints rows as a table for people, as CSV or JSON for programs; and the bar of what takes long.

An answer of the database streams: the engine itself writes the text, so a million rows cost neither memory nor
patience. Rows that Python has made (few) are written by Python.
"""

import json
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pricetracker_dagster.cli.background import done_in_background, in_background
from pricetracker_dagster.cli.table import TABLE_ROWS, print_table, say_how_many
from pricetracker_dagster.cli.writing import csv_cell, csv_of, write
from pricetracker_dagster.reading.values import as_json

if TYPE_CHECKING:
    import duckdb

_COUNT_PATIENCE = 3.0


def show_answer(
    connection: "duckdb.DuckDBPyConnection", ask: "Callable[[], duckdb.DuckDBPyRelation | None]", output_format: str
) -> None:
    """Print what a statement answers. Ctrl-C ends it at once, whatever the engine is doing.

    Args:
        connection: in which it is asked.
        ask: asks it.
        output_format: table, csv or json. Times are ISO 8601, those with a zone in UTC; in csv and json numbers keep
            their digits, and rows are printed as they come.

    Raises:
        OutputFailed: the output cannot be written, e.g. since its disk is full.
        duckdb.Error: the statement is wrong, or fails on the way.
    """
    from pricetracker_dagster.reading.lines import batches, csv_lines, json_lines

    relation = done_in_background(connection, ask)
    if relation is None:  # a statement that answers nothing, not even that it went well
        return
    if output_format == "table":
        _show_table(connection, relation)
        return
    answer = csv_lines(relation) if output_format == "csv" else json_lines(relation)
    with closing(in_background(connection, lambda: batches(answer))) as found:
        if output_format == "csv":
            write(csv_of([relation.columns]))
            for batch in found:
                write(batch)
        else:
            begin = b"["
            for batch in found:
                write(begin, batch[2 if begin else 0 :])
                begin = b""
            write(begin, b"]\n")


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], output_format: str) -> None:
    """Print rows that are already there, in the same way."""
    if output_format == "csv":
        write(csv_of([columns, *([csv_cell(value) for value in row] for row in rows)]))
    elif output_format == "json":
        lines = ",\n".join(json.dumps(dict(zip(columns, map(as_json, row), strict=True))) for row in rows)
        write(f"[{lines}]\n".encode())
    else:
        kept = list(rows)
        numeric = [bool(kept) and all(_is_number(row[i]) for row in kept) for i in range(len(columns))]
        print_table(columns, numeric, kept[:TABLE_ROWS])
        say_how_many(len(kept))


def _show_table(connection: "duckdb.DuckDBPyConnection", relation: "duckdb.DuckDBPyRelation") -> None:
    from pricetracker_dagster.reading import text
    from pricetracker_dagster.reading.lines import aliases, projected

    types = relation.types
    cells = ", ".join(
        alias if _stays(kind) else f"{text.plain(kind, alias)} AS {alias}"
        for kind, alias in zip(types, aliases(relation), strict=True)
    )
    first = projected(relation, cells).limit(TABLE_ROWS + 1)
    rows = done_in_background(connection, first.fetchall)
    numeric = [kind.id in text.INTEGERS | text.FLOATS for kind in types]
    print_table(relation.columns, numeric, rows[:TABLE_ROWS])
    if len(rows) > TABLE_ROWS:
        say_how_many(_count(connection, relation))


def _stays(kind: Any) -> bool:
    """Say whether Python gets the values of a column as they are: numbers, of which a person sees fewer digits."""
    from pricetracker_dagster.reading.text import FLOATS, INTEGERS

    innermost = kind.children[0][1] if kind.id in ("list", "array") else kind
    return innermost.id in INTEGERS | FLOATS | {"boolean"}


def _count(connection: "duckdb.DuckDBPyConnection", relation: "duckdb.DuckDBPyRelation") -> int | None:
    """Count the rows of an answer; None where that takes too long."""
    import duckdb

    from pricetracker_dagster.reading.lines import projected

    timer = threading.Timer(_COUNT_PATIENCE, connection.interrupt)
    timer.start()
    try:
        [(rows,)] = done_in_background(connection, projected(relation, "count(*)").fetchall)
    except duckdb.InterruptException:
        return None
    finally:
        timer.cancel()
    return int(rows)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def progress_bar() -> Any:
    """Return a bar of what takes long; it shows nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, disable=not sys.stdout.isatty())


def without_dagsters_warnings() -> None:
    """Keep what Dagster says of its own parameters to ourselves: it is for us, not for users."""
    warnings.filterwarnings("ignore", module="dagster")
