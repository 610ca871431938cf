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
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from pricetracker_dagster.cli import text
from pricetracker_dagster.cli.background import done_in_background, in_background
from pricetracker_dagster.cli.table import TABLE_ROWS, print_table, say_how_many
from pricetracker_dagster.cli.writing import as_json, csv_cell, csv_of, write

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_COUNT_PATIENCE = 3.0
_ROWS_AT_ONCE = 2048
_ANSWER = "answer of the statement"


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
    relation = done_in_background(connection, ask)
    if relation is None:  # a statement that answers nothing, not even that it went well
        return
    aliases = [f"c{i}" for i in range(len(relation.columns))]
    if output_format == "table":
        _show_table(connection, relation, aliases)
        return
    if output_format == "csv":
        line = text.csv_line(relation.types, aliases)
    else:
        keys = _told_apart(relation.columns)
        line = f"concat(',', chr(10), {text.json_object(relation.types, aliases, keys)})"
    lines = _projected(relation, aliases, f"{line} AS line")
    with closing(in_background(connection, lambda: iter(lines.to_arrow_reader(_ROWS_AT_ONCE)))) as batches:
        if output_format == "csv":
            write(csv_of([relation.columns]))
            for batch in batches:
                write(_bytes_of(batch.column(0)))
        else:
            begin = b"["
            for batch in batches:
                write(begin, _bytes_of(batch.column(0))[2 if begin else 0 :])
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


def _show_table(
    connection: "duckdb.DuckDBPyConnection", relation: "duckdb.DuckDBPyRelation", aliases: Sequence[str]
) -> None:
    types = relation.types
    cells = ", ".join(
        alias if _stays(kind) else f"{text.plain(kind, alias)} AS {alias}"
        for kind, alias in zip(types, aliases, strict=True)
    )
    first = _projected(relation, aliases, cells).limit(TABLE_ROWS + 1)
    rows = done_in_background(connection, first.fetchall)
    numeric = [kind.id in text.INTEGERS | text.FLOATS for kind in types]
    print_table(relation.columns, numeric, rows[:TABLE_ROWS])
    if len(rows) > TABLE_ROWS:
        say_how_many(_count(connection, relation, aliases))


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike: of two equal keys in an object, readers of JSON keep one."""
    keys: list[str] = []
    for name in names:
        numbered = (f"{name}_{i}" for i in count(1))
        keys.append(next(key for key in chain([name], numbered) if key not in keys))
    return keys


def _stays(kind: Any) -> bool:
    """Say whether Python gets the values of a column as they are: numbers, of which a person sees fewer digits."""
    innermost = kind.children[0][1] if kind.id in ("list", "array") else kind
    return innermost.id in text.INTEGERS | text.FLOATS | {"boolean"}


def _count(
    connection: "duckdb.DuckDBPyConnection", relation: "duckdb.DuckDBPyRelation", aliases: Sequence[str]
) -> int | None:
    """Count the rows of an answer; None where that takes too long."""
    import duckdb

    timer = threading.Timer(_COUNT_PATIENCE, connection.interrupt)
    timer.start()
    try:
        [(rows,)] = done_in_background(connection, _projected(relation, aliases, "count(*)").fetchall)
    except duckdb.InterruptException:
        return None
    finally:
        timer.cancel()
    return int(rows)


def _projected(
    relation: "duckdb.DuckDBPyRelation", aliases: Sequence[str], expressions: str
) -> "duckdb.DuckDBPyRelation":
    """Return expressions over an answer's columns, which may be called anything, even all the same."""
    names = ", ".join(aliases)
    over = relation.query(
        _ANSWER,
        f'WITH a({names}) AS (FROM "{_ANSWER}") SELECT {expressions} FROM a',  # noqa: S608 - no value is in it
    )
    assert over is not None  # noqa: S101 - only statements that select nothing are
    return over


def _bytes_of(lines: "pa.StringArray") -> memoryview:
    """Return the characters of a column of text as they lie in memory, one after the other."""
    import pyarrow as pa

    _, offsets, characters = lines.buffers()
    if characters is None:
        return memoryview(b"")
    wide = pa.types.is_large_string(lines.type)
    ends = memoryview(offsets).cast("q" if wide else "i")
    return memoryview(characters)[ends[lines.offset] : ends[lines.offset + len(lines)]]


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
