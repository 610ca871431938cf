"""Compaction: the files of a UTC day of the prices become one, in the order of metric and minute.

In that order a metric's rows lie together: the file is a third smaller than in z-order, and who asks for one metric
reads the row groups that may hold it. When a day is due is decided in maintenance.py.
"""

from collections.abc import Collection, Iterator
from datetime import date
from pathlib import PurePosixPath

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from pricetracker_dagster import sql
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.data_files import commit, discard, file_schema, write_file
from pricetracker_dagster.store.delta import Delta
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.live_files import PARTITION, patterns, sizes
from pricetracker_dagster.store.writing import check_space

_LEVEL = 15
"""Of compression of a whole day: four microseconds a row. Above it a hundredth is saved for three times the work."""

_LEVEL_OF_PARTS = 9
"""Of what is soon joined again."""

_AT_ONCE = 2_000_000
"""So many rows are sorted at once, roughly: memory stays bounded however many metrics there are."""

_TRIES = 5


def join(prices: Delta, day: str, files: Collection[str] | None = None) -> bool:
    """Rewrite a UTC day (ISO 8601) of a table on this machine as one file. False where its files kept being replaced.

    With ``files`` only those of it, by their paths in the table's folder; what is not live any more is left out.

    Safe beside writers: what they add meanwhile stays beside the new file, and where they replace a file of which it
    was made it is made anew. Memory is bounded, whatever the day holds.
    """
    return any(_join(prices, day, files) for _ in range(_TRIES))


def _join(prices: Delta, day: str, files: Collection[str] | None) -> bool:
    with prices.write():
        table = prices.load()
        old = {path: size for path, size in _files_of(table, day).items() if files is None or path in files}
        if len(old) < 2:
            return True
        check_space(prices.location, sum(old.values()))
        connection = sql.connect()
        paths = [str(prices.path / path) for path in old]
        with prices.read():
            rows = _sorted(connection, paths)
            level = _LEVEL if files is None else _LEVEL_OF_PARTS
            new = write_file(prices, file_schema(table), date.fromisoformat(day), rows, level, indexed=True)
        version = None
        try:
            _check(prices, connection, paths, new.rows)
            version = commit(
                prices,
                table,
                [new],
                dict.fromkeys(old, day),
                lambda now: old.keys() <= _files_of(now, day).keys(),
                changes=False,
            )
        finally:
            if version is None and new.path not in _files_of(prices.load(), day):
                discard(prices, [new.path])
        return version is not None


def _files_of(table: DeltaTable, day: str) -> dict[str, int]:
    """Return path and size of the live files of a day."""
    return {path: size for path, size in sizes(table).items() if PurePosixPath(path).parts[0] == f"{PARTITION}={day}"}


def _sorted(connection: duckdb.DuckDBPyConnection, files: list[str]) -> Iterator[pa.Table]:
    """Return the rows of files in the order of metric and minute, some metrics at a time."""
    values = {"files": patterns(files)}
    ranges = connection.execute(sql.load("store/sql/metric_ranges.sql"), {**values, "rows": _AT_ONCE}).fetchall()
    for first, last in ranges:
        ordered = connection.sql(
            sql.load("store/sql/day_sorted.sql"), params={**values, "first": first, "last": last}
        ).to_arrow_table()
        yield ordered.select(SCHEMA.names)


def _check(prices: Delta, connection: duckdb.DuckDBPyConnection, files: list[str], written: int) -> None:
    """Raise where another number of rows was written than read: nothing may be lost."""
    [counted] = connection.execute(
        "SELECT count(*) FROM read_parquet($files, hive_partitioning = false)", {"files": patterns(files)}
    ).fetchall()
    if counted[0] != written:
        raise StoreError(f"{written} rows were written of {counted[0]}: the files stay as they are", prices.name)
