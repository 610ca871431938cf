"""What a candle consists of, and the four measures of one."""

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("metric", pa.string(), nullable=False, metadata={"comment": "EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD"}),
        pa.field(
            "minute", TIMESTAMP, nullable=False, metadata={"comment": "open time of the candle, UTC, whole minute"}
        ),
        pa.field("open", pa.float64(), nullable=False, metadata={"comment": "first price, in the quote currency"}),
        pa.field("high", pa.float64(), nullable=False, metadata={"comment": "highest price, in the quote currency"}),
        pa.field("low", pa.float64(), nullable=False, metadata={"comment": "lowest price, in the quote currency"}),
        pa.field("close", pa.float64(), nullable=False, metadata={"comment": "last price, in the quote currency"}),
        pa.field("volume", pa.float64(), nullable=False, metadata={"comment": "base units traded in this minute"}),
        pa.field("trades", pa.int64(), nullable=False, metadata={"comment": "number of trades in this minute"}),
        pa.field("fetched_at", TIMESTAMP, nullable=False, metadata={"comment": "when this row was obtained, UTC"}),
    ]
)
"""One row a metric and minute; (metric, minute) is the key. Nothing is ever null."""

MEASURES = ("price", "volume", "change_absolute", "change_percentage")
"""price = close; volume = base units of the minute; change_absolute = close - open;
change_percentage = (close - open) / open * 100, absent where open is 0."""

RAW_COLUMNS = ("metric", "unix", "open", "high", "low", "close", "volume", "trades")
"""A candle as the exchange or a file wrote it, before it is judged: text, with its open time in Unix seconds."""
