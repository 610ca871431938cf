"""Candles as an Arrow table: its first and last minute, its days, parts of it."""

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange, utc
from pricetracker_dagster.candles.schema import SCHEMA


def newest_minute(candles: pa.Table) -> datetime | None:
    """Return the newest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[1]


def oldest_minute(candles: pa.Table) -> datetime | None:
    """Return the oldest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[0]


def _extent(candles: pa.Table) -> tuple[datetime | None, datetime | None]:
    found = sql.connect(candles=candles).execute("SELECT epoch(min(minute)), epoch(max(minute)) FROM candles")
    [(oldest, newest)] = found.fetchall()
    return (None, None) if oldest is None else (utc(oldest), utc(newest))


def spans_of(candles: pa.Table) -> dict[str, MinuteRange]:
    """Return the first and the last minute of each metric among candles (SCHEMA)."""
    asked = "SELECT metric, epoch(min(minute)), epoch(max(minute)) FROM candles GROUP BY metric"
    found = sql.connect(candles=candles).execute(asked).fetchall()
    return {metric: MinuteRange(utc(first), utc(last)) for metric, first, last in found}


def by_day(candles: pa.Table, first: datetime, last: datetime) -> dict[date, pa.Table]:
    """Split the candles (SCHEMA) of minutes ``first`` to ``last`` by their UTC day, oldest day first."""
    days = sql.connect(candles=candles).execute(sql.load("candles/table_by_day.sql"), {"first": first, "last": last})
    parts = {}
    for day, rows, *ends in days.fetchall():  # mostly it is one, and has them all
        parts[day] = candles if rows == candles.num_rows else within(candles, [MinuteRange(*ends)])
    return parts


def of_metric(candles: pa.Table, metric: str) -> pa.Table:
    """Return the candles (SCHEMA) of one metric."""
    found = sql.connect(candles=candles).sql("FROM candles WHERE metric = $metric", params={"metric": metric})
    return found.to_arrow_table().cast(SCHEMA)


def within(candles: pa.Table, spans: Sequence[MinuteRange]) -> pa.Table:
    """Return the candles (SCHEMA) whose minute lies in one of the spans."""
    connection = sql.connect(candles=candles)
    params = {"spans": [span._asdict() for span in spans]}
    return connection.sql(sql.load("candles/table_within.sql"), params=params).to_arrow_table().cast(SCHEMA)
