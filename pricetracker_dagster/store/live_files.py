"""The Parquet files that belong to one version of a Delta table, as its log has them, and how SQL reads them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import minutes_of_day, utc

PARTITION = "date"
"""The column of the UTC day, by which the prices lie in folders."""


def files_of(table: DeltaTable, bounds: Sequence[tuple[str, str, date | datetime | str]] = ()) -> list[str]:
    """Return the live Parquet files of one version of a table, as absolute paths.

    With bounds, e.g. ``("minute", ">=", moment)``, only those that may hold such rows, by the statistics in the log.
    """
    # delta-rs names them as URLs do, with %20 for a space
    return sorted(map(unquote, table.file_uris(file_pruning_predicate=list(bounds) or None)))


def files_of_days(files: Iterable[str], first: date, last: date) -> list[str]:
    """Return those of some files of the prices that may hold minutes of the UTC days from ``first`` to ``last``.

    By their paths: the log of the table is not asked. A file whose path names no day may hold any.
    """
    return [file for file in files if (day := day_of(file)) is None or first <= day <= last]


def by_day(files: Iterable[str]) -> dict[date | None, list[str]]:
    """Return files of the prices by the UTC day in their paths; None has those whose paths name no day."""
    days: dict[date | None, list[str]] = {}
    for file in files:
        days.setdefault(day_of(file), []).append(file)
    return days


def day_of(file: str) -> date | None:
    """Return the UTC day of a file of the prices, by its path; None where that names none."""
    named = re.search(rf"/{PARTITION}=([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})/", file)
    return date.fromisoformat(named[1]) if named else None


def files_of_minutes(table: DeltaTable, first: datetime | None = None, last: datetime | None = None) -> list[str]:
    """Return those files of the prices that may hold minutes from ``first`` to ``last``."""
    bounds: list[tuple[str, str, date | datetime | str]] = []
    for comparison, moment in ((">=", first), ("<=", last)):
        if moment is not None:
            bounds += [(PARTITION, comparison, moment.astimezone(UTC).date()), ("minute", comparison, moment)]
    return files_of(table, bounds)


def sizes(table: DeltaTable) -> dict[str, int]:
    """Return how long each live file of a table was when it was written, by its path in the table's folder."""
    return {unquote(name): size for name, size in _ask(table, "SELECT path, size_bytes FROM actions")}


class LiveFile(NamedTuple):
    """A live Parquet file of the prices, as the log has it; its first and last minute are UTC.

    Where the log does not say which minutes it holds, these are the whole UTC day's and ``exact`` is False.
    """

    path: str
    first: datetime
    last: datetime
    rows: int
    size: int
    exact: bool = True

    def may_hold(self, first: datetime, last: datetime) -> bool:
        """Say whether it may hold minutes from ``first`` to ``last``."""
        return self.first <= last and first <= self.last


def live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the live files of the prices, in no order, asking the log once."""
    found = _ask(table, sql.load("store/sql/live_files.sql"))
    if not found:
        return []
    # the log names them in the table's folder, as URLs do; delta-rs says where that is
    root = unquote(next(uri.removesuffix(found[0][0]) for uri in table.file_uris() if uri.endswith(found[0][0])))
    files = []
    for name, rows, size, day, first, last in found:
        exact = first is not None and last is not None
        span = (utc(first), utc(last)) if exact else minutes_of_day(day)
        files.append(LiveFile(root + unquote(name), *span, rows or 0, size, exact))
    return files


def rows_a_day(table: DeltaTable) -> list[tuple[date, int]]:
    """Return UTC day and number of rows of each live file of the prices."""
    return _ask(table, 'SELECT "partition.date"::DATE, num_records FROM actions')


def minutes_of_files(table: DeltaTable, day: date) -> list[tuple[str, datetime, datetime]]:
    """Return path, first and last minute, UTC, of the live files of a day's prices: by the statistics in the log."""
    rows = _ask(table, 'SELECT path, "partition.date"::DATE, "min.minute", "max.minute" FROM actions')
    return [(unquote(path), first, last) for path, of, first, last in rows if of == day and first and last]


def totals(table: DeltaTable) -> tuple[int, int, int, datetime | None, datetime | None]:
    """Return how many live files of prices there are, their bytes, rows, oldest and newest minute, UTC: by the log."""
    [found] = _ask(
        table,
        "SELECT count(*), coalesce(sum(size_bytes), 0)::BIGINT, coalesce(sum(num_records), 0)::BIGINT, "
        'min("min.minute"), max("max.minute") FROM actions',
    )
    files, size, rows, *ends = found
    oldest, newest = (None if end is None else end.astimezone(UTC) for end in ends)
    return files, size, rows, oldest, newest


def _ask(table: DeltaTable, statement: str) -> list[tuple[Any, ...]]:
    # pa.table() would import pandas
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()
    return sql.connect(actions=actions).execute(statement).fetchall()


def patterns(files: Iterable[str]) -> list[str]:
    """Return files as ``read_parquet`` takes them: each a pattern that matches it alone."""
    return [sql.only(file) for file in files]


def rows_in(files: Iterable[str], columns: Mapping[str, str]) -> str:
    """Return what a statement selects from, where it takes no parameters: the files, or no rows of the same columns.

    Args:
        files: Parquet files.
        columns: their columns, name to type.
    """
    return _read(files, "") or _no_rows(columns)


def rows_by_name(files: Iterable[str], columns: Mapping[str, str], *, filename: bool = False) -> str:
    """Return the same where some files are of an earlier version, which did not know every column: NULL there.

    With ``filename`` the column of that name says of each row which file it is from.
    """
    if filename:
        columns = {**columns, "filename": "VARCHAR"}
    read = _read(files, f", union_by_name = true, filename = {filename}")
    return f"(FROM {_no_rows(columns)} UNION ALL BY NAME FROM {read})" if read else _no_rows(columns)


def _read(files: Iterable[str], options: str) -> str:
    named = ", ".join(map(sql.literal, patterns(files)))
    return f"read_parquet([{named}], hive_partitioning = false{options})" if named else ""


def _no_rows(columns: Mapping[str, str]) -> str:
    nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
    return f"(SELECT {nulls} WHERE false)"
