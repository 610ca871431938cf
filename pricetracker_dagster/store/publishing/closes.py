"""The closes of 24 hours of metrics that are compared, hour by hour: kept in files beside the published one.

Weights change each minute, so that every minute of the day is compared anew. What does not change, the closes of past
hours, is kept as kept_hours.py keeps its partials: a file an hour, in which they lie as NumPy takes them. Those of
hours that the published file has as rows are read from it. What is made of them is markets.py's.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.publishing.kept_hours import ROWS, KeptHour, PastHours
from pricetracker_dagster.store.publishing.kept_parts import Unusable
from pricetracker_dagster.store.publishing.partials import Numbers, array

_MINUTES = 60
_AT_ONCE = 2_000_000
"""Closes that are read of Parquet at once: those of 1,000 metrics of a day, of 10,000 of three hours."""

_Closes = Iterator[tuple[KeptHour, Numbers]]


def closes_of(
    metrics: pa.StringArray, hours: Sequence[KeptHour], window: MinuteRange, past: PastHours
) -> Iterator[tuple[int, Numbers]]:
    """Yield of each hour its first minute, counted since 1970, and closes: metrics x 60, NaN where there is no row.

    Args:
        metrics: whose, in this order.
        hours: those of the window, as they are kept.
        window: there is no close of any other minute.
        past: the file that is being filled, and the files of past hours.

    Oldest first, and one by one: those of 10,000 metrics take 115 MB together.
    """
    first = int(window.first.timestamp()) // 60
    there = [hour for hour in hours if hour.files]
    places = array(np.arange(len(metrics), dtype=np.int32))
    past.connection.register("compared", pa.RecordBatch.from_arrays([metrics, places], ["metric", "place"]))
    for (as_rows, lacking), run in groupby(there, lambda hour: (hour.kind == ROWS, not past.files.has(_name(hour)))):
        how = _rows if as_rows else _worked_out if lacking else _kept
        for hour, closes in how(past, [*run], metrics, window.last):
            begin = hour.hour * _MINUTES
            if begin < first:
                closes = closes.copy()  # noqa: PLW2901 - what was read from a file cannot be written to
                closes[:, : first - begin] = np.nan
            yield begin, closes
    past.connection.unregister("compared")


def _rows(past: PastHours, run: Sequence[KeptHour], metrics: pa.StringArray, last: datetime) -> _Closes:
    """Read the closes of hours that the published file has as rows."""
    return zip(run, _read(past, "kept_3.rows", run, metrics, last), strict=True)


def _kept(past: PastHours, run: Sequence[KeptHour], metrics: pa.StringArray, last: datetime) -> _Closes:
    """Yield what files hold of hours; what is damaged, or of other metrics, is worked out anew."""

    def read(batch: pa.RecordBatch) -> Numbers:
        if not batch.column("metric").equals(metrics):
            raise Unusable  # others were compared then
        return np.from_dlpack(batch.column("closes").flatten()).reshape(-1, _MINUTES)

    for hour in run:
        known = past.files.read(_name(hour), read)
        if known is None:
            yield from _worked_out(past, [hour], metrics, last)
        else:
            yield hour, known


def _worked_out(past: PastHours, run: Sequence[KeptHour], metrics: pa.StringArray, last: datetime) -> _Closes:
    """Read the closes of consecutive hours from Parquet, keep them, and yield them."""
    most = max(_AT_ONCE // (len(metrics) * _MINUTES), 1)
    for begin in range(0, len(run), most):
        hours = run[begin : begin + most]
        found = _read(past, "read_parquet($files, hive_partitioning = false)", hours, metrics, last)
        for hour, closes in zip(hours, found, strict=True):
            cells = pa.FixedSizeListArray.from_arrays(array(closes.ravel()), _MINUTES)
            past.files.write(_name(hour), pa.RecordBatch.from_arrays([metrics, cells], ["metric", "closes"]))
            yield hour, closes


def _read(
    past: PastHours, rows: str, hours: Sequence[KeptHour], metrics: pa.StringArray, last: datetime
) -> list[Numbers]:
    """Return the closes of each of some consecutive hours, up to a minute."""
    values: dict[str, object] = {"first": hours[0].first, "last": min(hours[-1].last, last)}
    if "$files" in rows:
        values["files"] = patterns(sorted(frozenset().union(*(hour.files for hour in hours))))
    statement = sql.filled("store/publishing/sql/closes.sql", {"rows": rows})
    found = past.connection.sql(statement, params=values).to_arrow_table().combine_chunks()
    closes = np.full((len(hours), len(metrics), _MINUTES), np.nan)
    for batch in found.to_batches():
        place, minute, close = (np.from_dlpack(batch.column(name)) for name in ("place", "minute", "close"))
        hour, of_hour = np.divmod(minute - hours[0].hour * _MINUTES, _MINUTES)
        closes[hour, place, of_hour] = close
    return [*closes]


def _name(hour: KeptHour) -> str:
    return f"{hour.prefix}-closes"
