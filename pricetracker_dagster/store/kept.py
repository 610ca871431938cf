"""What is kept from one published file to the next, so that 24 hours need not be read again each minute.

Of each whole hour of the window partials are kept: count, mean and sum of squared distances (M2) of each metric and
measure, which measured.sql merges. Of the hours at the edges, and of one whose small files nobody has joined yet, the
rows themselves are. An hour is taken over where the same Parquet files may hold its minutes; of an hour that is kept as
rows only files are read that are new. A live file never changes, so its name is its content.

All of it stands in a schema of the published file that readers need not know (sql/kept_tables.sql). What is lost or in
doubt is worked out anew; full_pass.py compares it with the rows once an hour.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, utc
from pricetracker_dagster.store.live_files import LiveFile, patterns

HOUR = timedelta(hours=1)

_BRIEF = timedelta(minutes=10)
_FEW = 4
"""An hour is not joined yet where more files than these hold so few minutes: each takes as long to open as to read."""

PREVIOUS = "previous"
"""What the file published before is called while the next one is built."""


class KeptHour(NamedTuple):
    """An hour, counted since 1970 (UTC), with the Parquet files that may hold its minutes.

    It is kept as partials where it is ``whole``, else as rows of the minutes from ``since`` on, UTC. Each file has a
    number, by which a row says where it is from.
    """

    hour: int
    since: datetime
    whole: bool
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
        edge = number == newest or since > utc(number * 3600) or (number == newest - 1 and apart)
        hours.append(KeptHour(number, since, not edge, {file.path: 0 for file in its}))
    return hours


def keep(connection: duckdb.DuckDBPyConnection, hours: Iterable[KeptHour], *, previous: bool) -> None:
    """Fill the kept tables of the connection's current database, which is new, in one transaction.

    Args:
        connection: where measure_of() is defined, too.
        hours: what is to be kept.
        previous: whether the file that was published before is attached as ``previous``, to take from it.
    """
    connection.execute(sql.load("store/sql/merging.sql"))
    before = _kept_in(connection) if previous else {}
    kept: list[dict[str, object]] = []
    numbers = {file: number for hour in before.values() for file, number in hour.files.items()}
    unused = count(max(numbers.values(), default=0) + 1)
    taken: list[KeptHour] = []
    anew: list[KeptHour] = []
    for each in hours:
        old = before.get(each.hour)
        hour = each._replace(files={file: numbers.get(file) or next(unused) for file in each.files})
        numbers |= hour.files
        if not hour.whole:
            _keep_rows(connection, hour, None if old is None or old.whole or old.since > hour.since else old)
        elif old is not None and old.whole and old.files.keys() == hour.files.keys():
            taken.append(hour)
        else:
            anew.append(hour)
        kept.append({**hour._asdict(), "files": [*hour.files], "numbers": [*hour.files.values()]})
    connection.execute(sql.load("store/sql/keep_hours.sql"), {"hours": kept})
    for run in _runs(taken):
        connection.execute(sql.load("store/sql/kept_partials.sql"), {"first": run[0].hour, "last": run[-1].hour})
    for run in _runs(anew):
        files = sorted(frozenset().union(*(hour.files for hour in run)))
        if files:
            values = {"files": patterns(files), "first": run[0].first, "last": run[-1].last}
            source = {"rows": "read_parquet($files, hive_partitioning = false)"}
            partials = sql.filled("store/sql/partials.sql", source)
            connection.execute(f"INSERT INTO kept_1.partials {partials}", values)
    whole_before = {hour.hour for hour in before.values() if hour.whole}
    if taken and {hour.hour for hour in taken} == whole_before and not anew:
        connection.execute("INSERT INTO kept_1.middle FROM previous.kept_1.middle")
    else:
        connection.execute(f"INSERT INTO kept_1.middle {merged('kept_1.partials')}")


def merged(parts: str) -> str:
    """Return the query that merges partials, of a table or view, to one a metric."""
    return sql.filled("store/sql/merged.sql", {"parts": parts})


def _keep_rows(connection: duckdb.DuckDBPyConnection, hour: KeptHour, old: KeptHour | None) -> None:
    """Keep an hour as rows: those of files that ``old`` had from the previous file, the others from Parquet."""
    had = {} if old is None else old.files
    gone = [number for file, number in had.items() if file not in hour.files]
    values = {"first": hour.since, "last": hour.last}
    if len(gone) < len(had):
        connection.execute(sql.load("store/sql/kept_rows.sql"), {**values, "gone": gone})
    if new := {file: number for file, number in hour.files.items() if file not in had}:
        read = {"files": patterns(new), "names": [*new], "numbers": [*new.values()]}
        connection.execute(sql.load("store/sql/read_rows.sql"), {**values, **read})


def _kept_in(connection: duckdb.DuckDBPyConnection) -> dict[int, KeptHour]:
    """Return which hours the previous file has; none where it is of another version, which had no such tables."""
    try:
        found = connection.execute(sql.load("store/sql/kept_hours.sql")).fetchall()
    except duckdb.CatalogException:
        return {}
    return {
        hour: KeptHour(hour, utc(since), whole, dict(zip(files, numbers, strict=True)))
        for hour, since, whole, files, numbers in found
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
