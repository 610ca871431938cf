"""What is kept from one published file to the next, so that 24 hours need not be read again each minute.

Of each whole hour of the window its partials are kept (partials.py), of the one in which the window begins the measures
of its minutes, and of the newest one, and of one before whose small files nobody has joined yet, the rows themselves,
which readers need, too. An hour is taken over where the same Parquet files may hold its minutes; of one that is kept as
rows only files are read that are new. A live file never changes, so its name is its content.

All of it stands in a schema of the published file that readers need not know (sql/kept_tables.sql). What is lost or in
doubt is worked out anew; full_pass.py compares it with the rows once an hour.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, utc
from pricetracker_dagster.store.kept_parts import PREVIOUS, part_of, put, whole_hours
from pricetracker_dagster.store.live_files import LiveFile, patterns
from pricetracker_dagster.store.partials import Partials, Rows, array, merged, partials_of

HOUR = timedelta(hours=1)

_BRIEF = timedelta(minutes=10)
_FEW = 4
"""An hour is not joined yet where more files than these hold so few minutes: each takes as long to open as to read."""

PARTIALS, MEASURES, ROWS = "partials", "minutes", "rows"
"""As what an hour is kept."""


class KeptHour(NamedTuple):
    """An hour, counted since 1970 (UTC), from a minute on, with the Parquet files that may hold its minutes.

    ``kind`` says as what it is kept. Each file has a number, by which a row says where it is from.
    """

    hour: int
    since: datetime
    kind: str
    files: Mapping[str, int]

    @property
    def first(self) -> datetime:
        """Its first minute, UTC."""
        return utc(self.hour * 3600)

    @property
    def last(self) -> datetime:
        """Its last minute, UTC."""
        return self.first + HOUR - MINUTE


def hours_of(files: Sequence[LiveFile], window: MinuteRange) -> list[KeptHour]:
    """Return the hours of a window, each as it is to be kept; of the first one only minutes in the window."""
    first, newest = (int(moment.timestamp()) // 3600 for moment in window)
    recent = [file for file in files if file.may_hold(utc(first * 3600), window.last)]
    hours = []
    for number in range(first, newest + 1):
        since, last = max(utc(number * 3600), window.first), utc(number * 3600) + HOUR - MINUTE
        its = [file for file in recent if file.may_hold(since, last)]
        apart = sum(file.last - file.first < _BRIEF for file in its) > _FEW
        kind = MEASURES if since > utc(number * 3600) else PARTIALS
        if number == newest or (number == newest - 1 and apart):
            kind = ROWS
        hours.append(KeptHour(number, since, kind, {file.path: 0 for file in its}))
    return hours


class Kept(NamedTuple):
    """What is kept: partials of all whole hours together, and of each hour at the edges of the window, by the hour."""

    middle: Partials | None
    edges: Mapping[int, Partials]

    def merged(self) -> Partials | None:
        """Return the partials of the whole window; None where it has no rows."""
        parts = [*([] if self.middle is None else [self.middle]), *self.edges.values()]
        return merged(parts) if parts else None


def keep(
    connection: duckdb.DuckDBPyConnection, hours: Sequence[KeptHour], window: MinuteRange, *, previous: bool
) -> Kept:
    """Fill the kept tables of the connection's current database, which is new, in one transaction.

    Args:
        connection: where measure_of() is defined, too.
        hours: what is to be kept.
        window: the 24 hours.
        previous: whether the file that was published before is attached as ``previous``, to take from it.

    Raises:
        Unusable: what it keeps is something else.
    """
    before = _kept_in(connection) if previous else {}
    kept: list[dict[str, object]] = []
    numbers = {file: number for hour in before.values() for file, number in hour.files.items()}
    unused = count(max(numbers.values(), default=0) + 1)
    taken: list[KeptHour] = []
    anew: list[KeptHour] = []
    edges: dict[int, Partials] = {}
    for each in hours:
        old = before.get(each.hour)
        hour = each._replace(files={file: numbers.get(file) or next(unused) for file in each.files})
        numbers |= hour.files
        if old is not None and (old.kind != hour.kind or old.since > hour.since):
            old = None
        if hour.kind == ROWS:
            edges |= _keep_rows(connection, hour, window, old)
        elif hour.kind == MEASURES:
            edges |= _keep_measures(
                connection, hour, window, known=old is not None and old.files.keys() == hour.files.keys()
            )
        elif old is not None and old.files.keys() == hour.files.keys():
            taken.append(hour)
        else:
            anew.append(hour)
        kept.append({**hour._asdict(), "files": [*hour.files], "numbers": [*hour.files.values()]})
    connection.execute(sql.load("store/sql/keep_hours.sql"), {"hours": kept})
    for run in _runs(taken):
        connection.execute(sql.load("store/sql/kept_parts.sql"), {"first": run[0].hour, "last": run[-1].hour})
    made = [part for run in _runs(anew) for part in _keep_partials(connection, run)]
    whole_before = {hour.hour for hour in before.values() if hour.kind == PARTIALS}
    middle = None
    if taken and {hour.hour for hour in taken} == whole_before and not anew:
        middle = part_of(connection, PREVIOUS, None, Partials.read)
    if middle is None:  # one by one: all of 10,000 metrics at once take 100 MB
        for part in (each for _, each in whole_hours(connection)) if taken else made:
            middle = part if middle is None else merged([middle, part])
    if middle is not None:
        put(connection, None, middle.batch())
    return Kept(middle, edges)


def presence(connection: duckdb.DuckDBPyConnection, edges: Mapping[int, Partials]) -> pa.Table:
    """Return which minutes are present, by the bits of each metric and hour, of the current database."""
    schema = pa.schema({"metric": pa.string(), "hour": pa.int32(), "present": pa.uint64()})
    batches = []
    for hour, part in (*edges.items(), *whole_hours(connection)):
        hours = array(np.full(len(part.metrics), hour, np.int32))
        batches.append(pa.RecordBatch.from_arrays([part.metrics, hours, array(part.present)], schema=schema))
    return pa.Table.from_batches(batches, schema)


def _keep_partials(connection: duckdb.DuckDBPyConnection, run: Sequence[KeptHour]) -> Iterator[Partials]:
    """Work out the partials of consecutive hours, keep them, and yield them."""
    files = sorted(frozenset().union(*(hour.files for hour in run)))
    if not files:
        return
    connection.execute(sql.load("store/sql/merging.sql"))
    values = {"files": patterns(files), "first": run[0].first, "last": run[-1].last}
    found = connection.sql(sql.load("store/sql/partials.sql"), params=values).to_arrow_table().combine_chunks()
    for batch in found.to_batches():
        of_row = np.from_dlpack(batch.column("hour"))
        for hour in run:
            begin, end = np.searchsorted(of_row, (hour.hour, hour.hour + 1)).tolist()
            if end > begin:
                part = batch.slice(begin, end - begin)
                put(connection, hour.hour, part)
                yield Partials.read(part)


def _keep_measures(
    connection: duckdb.DuckDBPyConnection, hour: KeptHour, window: MinuteRange, *, known: bool
) -> dict[int, Partials]:
    """Keep an hour as measures of its minutes: those of the previous file where they are known, else from Parquet."""
    rows = part_of(connection, PREVIOUS, hour.hour, Rows.read) if known else None
    if rows is None and hour.files:
        source = "read_parquet($files, hive_partitioning = false)"
        rows = _measures(connection, source, MinuteRange(hour.since, hour.last), files=patterns(hour.files))
    if rows is None:
        return {}
    rows = rows.between(_unix(window.first), _unix(hour.last))
    put(connection, hour.hour, rows.batch())
    return {hour.hour: partials_of(rows)}


def _measures(
    connection: duckdb.DuckDBPyConnection, source: str, minutes: MinuteRange, **values: object
) -> Rows | None:
    """Return the measures of rows of a table, or of Parquet files; None where there are no rows."""
    statement = sql.filled("store/sql/measures_of_rows.sql", {"rows": source})
    found = connection.sql(statement, params={**values, **minutes._asdict()}).to_arrow_table().combine_chunks()
    batches = found.to_batches()
    return Rows.read(batches[0]) if batches and found.num_rows else None


def _unix(moment: datetime) -> int:
    """Return how many minutes since 1970 it is."""
    return int(moment.timestamp()) // 60


def _keep_rows(
    connection: duckdb.DuckDBPyConnection, hour: KeptHour, window: MinuteRange, old: KeptHour | None
) -> dict[int, Partials]:
    """Keep an hour as rows: those of files that ``old`` had from the previous file, the others from Parquet.

    Its partials are kept, too, and those of new rows are merged with them, where no file is gone.
    """
    had = {} if old is None else old.files
    gone = [number for file, number in had.items() if file not in hour.files]
    values = {"first": hour.since, "last": hour.last}
    if len(gone) < len(had):
        connection.execute(sql.load("store/sql/kept_rows.sql"), {**values, "gone": gone})
    new = {file: number for file, number in hour.files.items() if file not in had}
    if new:
        read = {"files": patterns(new), "names": [*new], "numbers": [*new.values()]}
        connection.execute(sql.load("store/sql/read_rows.sql"), {**values, **read})
    known = part_of(connection, PREVIOUS, hour.hour, Partials.read) if had and not gone else None
    numbers = [*(new if known else hour.files).values()]
    source = "(FROM kept_2.rows WHERE list_contains($numbers::INTEGER[], file))"
    rows = _measures(connection, source, MinuteRange(hour.since, hour.last), numbers=numbers) if numbers else None
    parts = [] if known is None else [known]
    if rows is not None:
        parts.append(partials_of(rows))
    if not parts:
        return {}
    part = merged(parts)
    if part.last.max() <= _unix(window.last):
        put(connection, hour.hour, part.batch())
        return {hour.hour: part}
    # it has minutes that come after the window: what is in it is worked out from all rows, and so it is next time
    rows = _measures(connection, "kept_2.rows", MinuteRange(hour.since, min(hour.last, window.last)))
    return {} if rows is None else {hour.hour: partials_of(rows)}


def _kept_in(connection: duckdb.DuckDBPyConnection) -> dict[int, KeptHour]:
    """Return which hours the previous file has; none where it is of another version, which had no such tables."""
    try:
        found = connection.execute(sql.load("store/sql/kept_hours.sql")).fetchall()
    except duckdb.CatalogException:
        return {}
    return {
        hour: KeptHour(hour, utc(since), kind, dict(zip(files, numbers, strict=True)))
        for hour, since, kind, files, numbers in found
    }


def _runs(hours: Iterable[KeptHour]) -> list[list[KeptHour]]:
    """Return hours as runs of consecutive ones."""
    runs: list[list[KeptHour]] = []
    for hour in hours:
        if runs and hour.hour == runs[-1][-1].hour + 1:
            runs[-1].append(hour)
        else:
            runs.append([hour])
    return runs
