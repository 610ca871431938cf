"""Minutes rebuilt from single trades, since the candles of OHLC do not reach back far enough.

Pure: trades come in as the exchange wrote them, candles go out. pages.py says which trades those are.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from pricetracker_dagster import sql
from pricetracker_dagster.candles.metric import Metric
from pricetracker_dagster.candles.minutes import MinuteRange
from pricetracker_dagster.candles.no_trade import fill_no_trade_minutes, not_in
from pricetracker_dagster.candles.validate import Validated, as_texts, validate


def candles_from_trades(
    metric: Metric,
    trades: Sequence[Sequence[object]],
    span: MinuteRange,
    *,
    fetched_at: datetime,
    before: pa.Table | None = None,
) -> Validated:
    """Aggregate every trade of the minutes in ``span`` to candles; minutes without trades are filled.

    Args:
        metric: whose trades these are.
        trades: rows that begin with price, volume, time in Unix seconds, oldest first. They may begin before
            the span (the last price then opens a quiet beginning) and must be complete from there to its end.
        span: the minutes to build.
        fetched_at: when the trades were obtained, UTC.
        before: candles (SCHEMA) that precede the trades, for the same purpose.

    Returns:
        Candles inside the span. Minutes before the first known price stay absent, and so does a minute that
        holds a trade which cannot be read: it is among the rejected.

    Raises:
        duckdb.ConversionException: the time of a trade is not a number: it is unknown which minute it spoils.
    """
    connection = sql.connect()
    values = {"metric": str(metric), "trades": [as_texts(trade[:3]) for trade in trades], "fetched_at": fetched_at}
    connection.execute(sql.load("exchanges/kraken/trades.sql"), values)
    validated = validate(connection)
    known = validated.kept if before is None else pa.concat_tables([before, validated.kept])
    left_out = [(row.metric, row.minute) for row in validated.rejected if row.minute is not None]
    filled = fill_no_trade_minutes(known, {str(metric): span}, left_out)
    return Validated(filled, validated.rejected, not_in(filled, known))
