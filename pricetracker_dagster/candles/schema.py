"""What a candle consists of."""

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


def column(name: str, kind: pa.DataType, text: str, unit: str = "", *, nullable: bool = True) -> pa.Field:
    """Return a column that carries its documentation: ``comment``, which ends with the unit, and ``unit``, if any."""
    documented = {"comment": f"{text}, {unit}", "unit": unit} if unit else {"comment": text}
    return pa.field(name, kind, nullable=nullable, metadata=documented)


SCHEMA = pa.schema(
    [
        column("metric", pa.string(), "EXCHANGE:BASEQUOTE, e.g. KRAKEN:BTCUSD; SIMULATED is no market", nullable=False),
        column("minute", TIMESTAMP, "open time of the candle, a whole minute", "UTC", nullable=False),
        column("open", pa.float64(), "first price", "quote currency", nullable=False),
        column("high", pa.float64(), "highest price", "quote currency", nullable=False),
        column("low", pa.float64(), "lowest price", "quote currency", nullable=False),
        column("close", pa.float64(), "last price", "quote currency", nullable=False),
        column("volume", pa.float64(), "amount traded in this minute", "base units", nullable=False),
        column("trades", pa.int64(), "number of trades in this minute; NULL where the exchange does not tell"),
        column("fetched_at", TIMESTAMP, "when this row was obtained", "UTC", nullable=False),
    ]
)
"""One row a metric and minute; (metric, minute) is the key. Nothing but ``trades`` is ever null."""

NO_CANDLES = pa.Table.from_batches([], schema=SCHEMA)
"""A table without rows; SCHEMA.empty_table() would import pandas."""

RAW_COLUMNS = ("metric", "unix", "open", "high", "low", "close", "volume", "trades")
"""A candle as the exchange or a file wrote it, before it is validated: text, with its open time in Unix seconds."""

NOT_TOLD = "not told"
"""What stands for ``trades`` there where an exchange does not tell the number; a cell that is empty is a mistake."""
