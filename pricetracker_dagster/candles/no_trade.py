"""Minutes without trades: rows that no source stated, with the previous close and no volume."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.candles.schema import SCHEMA


def fill_no_trade_minutes(
    candles: pa.Table,
    spans: Mapping[str, MinuteRange],
    left_out: Iterable[tuple[str, datetime]] = (),
    longest: timedelta | None = None,
    absent: Iterable[tuple[str, datetime]] = (),
) -> pa.Table:
    """Give every minute of ``spans`` a row: where there was no trade, volume 0, trades 0 and the previous close.

    Args:
        candles: SCHEMA. May begin before a span: that candle's close then opens the span. Only rows inside
            the spans are returned.
        spans: for each metric, the minutes about which the source has spoken.
        left_out: (metric, minute) of rejected rows. They stay absent unless ``candles`` has them, and so do the quiet
            minutes after them, since the price at which those minutes closed is unknown.
        longest: between two candles further apart than this nothing is filled: a silence as long is unknown, not
            quiet. None: there is no limit, since the source itself has said that there was no trade.
        absent: (metric, minute) that stay absent unless ``candles`` has them, but not the quiet minutes after them.

    Returns:
        SCHEMA, ordered by metric and minute.
    """
    connection = sql.connect(candles=candles)
    filled = connection.sql(
        sql.load("candles/no_trade.sql"),
        params={
            "spans": [{"metric": metric, **span._asdict()} for metric, span in spans.items()],
            "left_out": [{"metric": metric, "minute": minute} for metric, minute in left_out],
            "absent": [{"metric": metric, "minute": minute} for metric, minute in absent],
            "longest": None if longest is None else int(longest.total_seconds()),
        },
    )
    return filled.to_arrow_table().cast(SCHEMA)


def not_in(candles: pa.Table, stated: pa.Table) -> pa.Table:
    """Return metric and minute of those candles that are not among ``stated``: the ones that were filled in."""
    connection = sql.connect(candles=candles, stated=stated)
    return connection.sql("SELECT metric, minute FROM candles ANTI JOIN stated USING (metric, minute)").to_arrow_table()
