"""Candles as an Arrow table: its first and last minute, its days, parts of it."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange, utc
from pricetracker_dagster.candles.schema import SCHEMA

_SQL = Path(__file__).parent


def newest_minute(candles: pa.Table) -> datetime | None:
    """Return the newest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[1]


def oldest_minute(candles: pa.Table) -> datetime | None:
    """Return the oldest minute among candles (SCHEMA), UTC; None where there are none."""
    return _extent(candles)[0]


def _extent(candles: pa.Table) -> tuple[datetime | None, datetime | None]:
    connection = sql.connect()
    connection.register("candles", candles)
    connection.execute("SELECT epoch(min(minute)), epoch(max(minute)) FROM candles")
    [ends] = connection.fetchall()
    oldest, newest = (None if unix is None else utc(unix) for unix in ends)
    return oldest, newest


def by_day(candles: pa.Table, first: datetime, last: datetime) -> dict[date, pa.Table]:
    """Split the candles (SCHEMA) of minutes ``first`` to ``last`` by their UTC day, oldest day first."""
    connection = sql.connect()
    connection.register("candles", candles)
    connection.execute(sql.load(_SQL / "table_by_day.sql"), {"first": first, "last": last})
    days = connection.fetchall()
    return {
        day: connection.sql(
            "SELECT * FROM candles WHERE minute BETWEEN $first AND $last", params={"first": begin, "last": end}
        )
        .to_arrow_table()
        .cast(SCHEMA)
        for day, begin, end in days
    }


def within(candles: pa.Table, spans: Sequence[MinuteRange]) -> pa.Table:
    """Return the candles (SCHEMA) whose minute lies in one of the spans."""
    connection = sql.connect()
    connection.register("candles", candles)
    params = {"spans": [{"first": span.first, "last": span.last} for span in spans]}
    return connection.sql(sql.load(_SQL / "table_within.sql"), params=params).to_arrow_table().cast(SCHEMA)
