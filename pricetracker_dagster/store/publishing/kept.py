"""What is kept from one published file to the next, so that 24 hours need not be read again each minute.

Of the newest hour, and of one before whose small files nobody has joined yet, the rows themselves are kept, which
readers need, too: only files are read that are new. Of the other hours is kept what kept_hours.py has of them, and in
the published file the partials of all whole hours merged, as long as the same Parquet files may hold their minutes. A
live file never changes, so its name is its content.

What is in the published file stands in a schema that readers need not know (sql/kept_tables.sql). What is lost or in
doubt is worked out anew; full_pass.py compares it with the rows once an hour.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

import duckdb

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange, utc
from pricetracker_dagster.store.live_files import LiveFile, patterns
from pricetracker_dagster.store.publishing.kept_hours import (
    HOUR,
    MEASURES,
    PARTIALS,
    ROWS,
    KeptHour,
    PastHours,
    measures,
)
from pricetracker_dagster.store.publishing.kept_parts import PREVIOUS, part_of, put
from pricetracker_dagster.store.publishing.partials import Partials, merged, partials_of

_BRIEF = timedelta(minutes=10)
_FEW = 4
"""An hour is not joined yet where more files than these hold so few minutes: each takes as long to open as to read."""


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
    connection: duckdb.DuckDBPyConnection,
    hours: Sequence[KeptHour],
    window: MinuteRange,
    past: PastHours,
    *,
    previous: bool,
) -> Kept:
    """Fill the kept tables of the connection's current database, which is new, in one transaction.

    Args:
        connection: where measure_of() is defined, too.
        hours: what is to be kept.
        window: the 24 hours.
        past: the hours that are kept elsewhere.
        previous: whether the file that was published before is attached as ``previous``, to take from it.

    Raises:
        Unusable: what it keeps is something else.
    """
    before = _kept_in(connection) if previous else {}
    kept: list[dict[str, object]] = []
    numbers = {file: number for hour in before.values() for file, number in hour.files.items()}
    unused = count(max(numbers.values(), default=0) + 1)
    edges: dict[int, Partials] = {}
    for each in hours:
        hour = each._replace(files={file: numbers.get(file) or next(unused) for file in each.files})
        numbers |= hour.files
        if hour.kind == ROWS:
            old = before.get(hour.hour)
            edges |= _keep_rows(connection, hour, window, old if old is not None and old.kind == ROWS else None)
        elif hour.kind == MEASURES and (part := past.beginning(hour)) is not None:
            edges[hour.hour] = part
        kept.append({**hour._asdict(), "files": [*hour.files], "numbers": [*hour.files.values()]})
    connection.execute(sql.load("store/publishing/sql/keep_hours.sql"), {"hours": kept})
    whole = whole_of(hours)
    middle = None
    if previous and _content(whole) == _content(whole_of(before.values())):
        middle = part_of(connection, PREVIOUS, None, Partials.read)
    if middle is None:
        for _, part in past.whole(whole):
            middle = part if middle is None else merged([middle, part])
    if middle is not None:
        put(connection, None, middle.batch())
    past.files.keep_only(hour.prefix for hour in hours if hour.kind != ROWS)
    return Kept(middle, edges)


def whole_of(hours: Iterable[KeptHour]) -> list[KeptHour]:
    """Return those that are kept as partials."""
    return [hour for hour in hours if hour.kind == PARTIALS]


def _content(hours: Iterable[KeptHour]) -> dict[int, AbstractSet[str]]:
    """Return by the hour from which Parquet files its minutes are."""
    return {hour.hour: hour.files.keys() for hour in hours}


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
        connection.execute(sql.load("store/publishing/sql/kept_rows.sql"), {**values, "gone": gone})
    new = {file: number for file, number in hour.files.items() if file not in had}
    if new:
        read = {"files": patterns(new), "names": [*new], "numbers": [*new.values()]}
        connection.execute(sql.load("store/publishing/sql/read_rows.sql"), {**values, **read})
    known = part_of(connection, PREVIOUS, hour.hour, Partials.read) if had and not gone else None
    numbers = [*(new if known else hour.files).values()]
    source = "(FROM kept_3.rows WHERE list_contains($numbers::INTEGER[], file))"
    rows = measures(connection, source, MinuteRange(hour.since, hour.last), numbers=numbers) if numbers else None
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
    rows = measures(connection, "kept_3.rows", MinuteRange(hour.since, min(hour.last, window.last)))
    return {} if rows is None else {hour.hour: partials_of(rows)}


def _kept_in(connection: duckdb.DuckDBPyConnection) -> dict[int, KeptHour]:
    """Return which hours the previous file has; none where it is of another version, which had no such tables."""
    try:
        found = connection.execute(sql.load("store/publishing/sql/kept_hours.sql")).fetchall()
    except duckdb.CatalogException:
        return {}
    return {
        hour: KeptHour(hour, utc(since), kind, dict(zip(files, numbers, strict=True)))
        for hour, since, kind, files, numbers in found
    }
