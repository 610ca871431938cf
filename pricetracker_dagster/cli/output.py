"""How rows are printed: as a table for people, as CSV or JSON for programs; and the bar of what takes long.

An answer of the database streams: the engine itself writes the text, so a million rows cost neither memory nor
patience. Rows that Python has made (few) are written by Python.
"""

import csv
import io
import json
import math
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from itertools import chain, count
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeVar

from pricetracker_dagster.candles import digits as figures
from pricetracker_dagster.cli import interrupts, text
from pricetracker_dagster.errors import PricetrackerError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

T = TypeVar("T")

TABLE_ROWS = 1000
"""What a table shows at most: nobody reads on, and to lay out more costs a terminal seconds."""

_COUNT_PATIENCE = 3.0
_DIGITS = 10
_ROWS_AT_ONCE = 2048
_ANSWER = "answer of the statement"


class OutputFailed(PricetrackerError, OSError):
    """What was to be printed could not be written."""


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
    relation = _done_in_background(connection, ask)
    if relation is None:  # a statement that answers nothing, not even that it went well
        return
    aliases = [f"c{i}" for i in range(len(relation.columns))]
    if output_format == "table":
        _show_table(connection, relation, aliases)
        return
    line = (
        text.csv_line(relation.types, aliases)
        if output_format == "csv"
        else f"concat(',', chr(10), {text.json_object(relation.types, aliases, _told_apart(relation.columns))})"
    )
    batches = _in_background(
        connection, lambda: iter(_projected(relation, aliases, f"{line} AS line").to_arrow_reader(_ROWS_AT_ONCE))
    )
    with closing(batches):
        if output_format == "csv":
            _write(_csv_of([relation.columns]))
            for batch in batches:
                _write(_bytes_of(batch.column(0)))
        else:
            begin = b"["
            for batch in batches:
                _write(begin, _bytes_of(batch.column(0))[2 if begin else 0 :])
                begin = b""
            _write(begin, b"]\n")


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], output_format: str) -> None:
    """Print rows that are already there, in the same way.

    Raises:
        OutputFailed: the output cannot be written.
    """
    if output_format == "csv":
        _write(_csv_of([columns, *([_csv_cell(value) for value in row] for row in rows)]))
    elif output_format == "json":
        lines = ",\n".join(json.dumps(dict(zip(columns, map(_as_json, row), strict=True))) for row in rows)
        _write(f"[{lines}]\n".encode())
    else:
        kept = [list(row) for row in rows]
        numeric = [all(_is_number(row[i]) for row in kept) and bool(kept) for i in range(len(columns))]
        _print_table(columns, numeric, kept[:TABLE_ROWS])
        _say_how_many(len(kept))


def _show_table(
    connection: "duckdb.DuckDBPyConnection", relation: "duckdb.DuckDBPyRelation", aliases: Sequence[str]
) -> None:
    types = relation.types
    cells = ", ".join(
        alias if _stays(kind) else f"{text.plain(kind, alias)} AS {alias}"
        for kind, alias in zip(types, aliases, strict=True)
    )
    first = _projected(relation, aliases, cells).limit(TABLE_ROWS + 1)
    rows = _done_in_background(connection, first.fetchall)
    numeric = [kind.id in text.INTEGERS | text.FLOATS for kind in types]
    _print_table(relation.columns, numeric, rows[:TABLE_ROWS])
    if len(rows) > TABLE_ROWS:
        _say_how_many(_count(connection, relation, aliases))


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
        [(rows,)] = _done_in_background(connection, _projected(relation, aliases, "count(*)").fetchall)
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


def _done_in_background(connection: "duckdb.DuckDBPyConnection", ask: Callable[[], T]) -> T:
    """Return what the engine answers, asked in another thread."""
    with closing(_in_background(connection, lambda: iter([ask()]))) as answers:
        [answer] = answers
    return answer


def _in_background(
    connection: "duckdb.DuckDBPyConnection", begin: Callable[[], Iterator[T]]
) -> Generator[T, None, None]:
    """Iterate in another thread: the engine does not heed Ctrl-C, and holds the thread that asks until it is done."""
    items: Queue[tuple[str, Any]] = Queue(maxsize=4)
    over = threading.Event()

    def put(kind: str, item: Any = None) -> None:
        while not over.is_set():
            with suppress(Full):
                items.put((kind, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in () if over.is_set() else begin():
                put("item", item)
                if over.is_set():
                    return
            put("end")
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()  # within: Ctrl-C may come while it starts, and Python must not end before it
        while True:
            with suppress(Empty):
                if interrupts.asked():
                    raise KeyboardInterrupt
                kind, item = items.get(timeout=0.2)
                if kind == "item":
                    yield item
                    continue
                thread.join()
                if kind == "error":
                    raise item
                return
    finally:
        over.set()
        while thread.is_alive():  # again and again: it may just be between two things that can be interrupted
            connection.interrupt()
            thread.join(0.02)


def _bytes_of(lines: "pa.StringArray") -> memoryview:
    """Return the characters of a column of text as they lie in memory, one after the other."""
    import pyarrow as pa

    _, offsets, characters = lines.buffers()
    if characters is None:
        return memoryview(b"")
    wide = pa.types.is_large_string(lines.type)
    ends = memoryview(offsets).cast("q" if wide else "i")
    return memoryview(characters)[ends[lines.offset] : ends[lines.offset + len(lines)]]


def _write(*chunks: "bytes | memoryview") -> None:
    """Write to standard output at once.

    Raises:
        BrokenPipeError: the reader has seen enough.
        OutputFailed: it cannot be written for another reason.
    """
    try:
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"the output cannot be written: {error.strerror}") from error


def _csv_of(rows: Iterable[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | dict):
        return json.dumps(_as_json(value), ensure_ascii=False)
    return as_iso(value) if isinstance(value, datetime) else value


def as_iso(moment: datetime) -> str:
    """Return a time as programs read it: ISO 8601, UTC as Z."""
    return moment.isoformat().replace("+00:00", "Z")


def _as_json(value: Any) -> Any:
    """Return what JSON has a way to write: no NaN, no infinity."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int | str):
        return value
    return as_iso(value) if isinstance(value, datetime) else str(value)


def _print_table(columns: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[Any]]) -> None:
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
    _write(paper.getvalue().encode(paper.encoding, "replace"))


class _Paper(io.StringIO):
    """Text in memory that can take what standard output can."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding


def _say_how_many(rows: int | None) -> None:
    """Say what a table leaves out."""
    if rows is None or rows > TABLE_ROWS:
        total = f"more than {TABLE_ROWS:,}" if rows is None else f"{rows:,}"
        _write(f"{TABLE_ROWS:,} of {total} rows; all of them: --format csv, or json\n".encode())


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, float):
        return figures.shown(value, _DIGITS)
    return as_iso(value) if isinstance(value, datetime) else str(value)


def progress_bar() -> Any:
    """Return a bar of what takes long; it shows nothing where nobody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, disable=not sys.stdout.isatty())


def without_dagsters_warnings() -> None:
    """Keep what Dagster says of its own parameters to ourselves: it is for us, not for users."""
    warnings.filterwarnings("ignore", module="dagster")
