"""A small market in a published file, whose every number is known by pandas: for tests of who reads it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in

AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD")


def walk(metric: str, minutes: pd.DatetimeIndex) -> pd.DataFrame:
    """Return candles of a random walk, the same for the same metric and minutes."""
    chance = np.random.default_rng([ord(sign) for sign in metric])
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.001, len(minutes))))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = np.abs(chance.normal(0, 0.01, len(minutes)))
    return pd.DataFrame(
        {
            "metric": metric,
            "minute": minutes,
            "open": opened,
            "high": np.maximum(opened, close) + spread,
            "low": np.minimum(opened, close) - spread,
            "close": close,
            "volume": np.round(chance.gamma(2, 3, len(minutes)), 8),
            "trades": chance.integers(1, 99, len(minutes)),
            "fetched_at": minutes + pd.Timedelta(63, "s"),
        }
    )


def table(candles: pd.DataFrame) -> pa.Table:
    """Return candles as the store takes them."""
    return pa.Table.from_pandas(candles, schema=SCHEMA, preserve_index=False)


def market(folder: Path, *, days: int = 3, metrics: Sequence[str] = METRICS) -> tuple[Store, pd.DataFrame]:
    """Store and publish some days up to AS_OF, and return the store with its candles.

    KRAKEN:BTCUSD lacks the minutes 11:00 to 11:04 of the last day, so that five of the last 24 hours are missed.
    """
    minutes = pd.date_range(end=AS_OF, periods=days * 1440, freq="min", unit="us")
    candles = pd.concat([walk(metric, minutes) for metric in metrics], ignore_index=True)
    gap = pd.date_range(datetime(2026, 3, 3, 11, 0, tzinfo=UTC), periods=5, freq="min")
    candles = candles[~((candles["metric"] == metrics[0]) & candles["minute"].isin(gap))].reset_index(drop=True)
    store = store_in(folder)
    store.prices.upsert(table(candles))
    publish(store, metrics, now=AS_OF + timedelta(seconds=63))
    return store, candles


def one_minute_more(store: Store, after: datetime, metrics: Sequence[str] = METRICS, close: float = 100.0) -> datetime:
    """Store and publish the minute after another one, flat at a price; return it."""
    minute = after + MINUTE
    rows = walk(metrics[0], pd.date_range(minute, periods=1, freq="min", unit="us"))
    rows = pd.concat([rows.assign(metric=metric) for metric in metrics])
    rows[["open", "high", "low", "close"]] = close
    store.prices.upsert(table(rows))
    publish(store, metrics, now=minute + timedelta(seconds=63))
    return minute
