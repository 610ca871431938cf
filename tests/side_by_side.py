"""A market on several exchanges, of random prices with holes, and what `markets` must say of it, by pandas."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.store.store import Store
from tests.market import table

AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)

MARKETS = {
    "KRAKEN:BTCUSD": "BTC/USD",
    "COINBASE:BTCUSD": "BTC/USD",
    "BITSTAMP:BTC/USD": "BTC/USD",
    "GEMINI:BTCUSD": "BTC/USD",
    "BINANCE:BTCUSDT": "BTC/USDT",
    "OKX:BTCUSDT": "BTC/USDT",
    "KRAKEN:USDTUSD": "USDT/USD",
    "COINBASE:USDTUSD": "USDT/USD",
    "KRAKEN:ETHUSD": "ETH/USD",
    "KRAKEN:SOLEUR": "SOL/EUR",
    "BITSTAMP:SOLEUR": "SOL/EUR",
    "KRAKEN:ODDPAIR": "ODDPAIR",
}
"""Each metric with its market, by hand."""

STOPPED, SINCE = "GEMINI:BTCUSD", AS_OF - 180 * MINUTE
"""One whose last minute was three hours ago."""

WITHOUT_TRADES = ("BINANCE:BTCUSDT", "OKX:BTCUSDT")
"""Nothing was traded on either: their minutes are flat or moved by quotes alone."""


def day(hours: int = 30, seed: int = 7, holes: float = 0.1) -> pd.DataFrame:
    """Return candles up to AS_OF: a walk a market, noise an exchange, so many minutes missing, one exchange stopped.

    SOLEUR has on one exchange the even and on the other the odd minutes: they never meet.
    """
    chance = np.random.default_rng(seed)
    minutes = pd.date_range(end=AS_OF, periods=hours * 60, freq="min", unit="us")
    walks = {name: 100 * np.exp(np.cumsum(chance.normal(0, 1e-3, len(minutes)))) for name in set(MARKETS.values())}
    frames = []
    for metric, market in MARKETS.items():
        close = np.round(walks[market] * (1 + chance.normal(0, 5e-4, len(minutes))), 6)
        volume = np.where(chance.random(len(minutes)) < 0.3, 0.0, np.round(chance.gamma(1, 2, len(minutes)), 6))
        frame = candles(metric, minutes, close, np.zeros(len(minutes)) if metric in WITHOUT_TRADES else volume)
        kept = chance.random(len(minutes)) >= holes
        if metric == STOPPED:
            kept &= np.asarray(minutes <= pd.Timestamp(SINCE))
        if market == "SOL/EUR":
            kept &= np.arange(len(minutes)) % 2 == metric.startswith("KRAKEN")
        frames.append(frame[kept])
    return pd.concat(frames, ignore_index=True)


def candles(metric: str, minutes: Any, close: Any, volume: Any = 1.0) -> pd.DataFrame:
    """Return minutes of a metric that open where they close."""
    frame = pd.DataFrame({"metric": metric, "minute": minutes})
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return frame.assign(**prices, volume=volume, trades=1, fetched_at=frame["minute"] + pd.Timedelta(63, "s"))


def stored(store: Store, frame: pd.DataFrame) -> None:
    """Store candles."""
    store.prices.upsert(table(frame))


def expected(
    frame: pd.DataFrame, as_of: datetime = AS_OF, markets: Mapping[str, str] = MARKETS, tracked: Iterable[str] = MARKETS
) -> pd.DataFrame:
    """Return what `markets` must say, by metric; of base and quote it says nothing."""
    window = frame[(frame["minute"] > as_of - DAY) & (frame["minute"] <= as_of) & frame["metric"].isin([*tracked])]
    window = window.assign(market=window["metric"].map(markets))
    rows = {}
    for market, of_it in window.groupby("market"):
        closes = of_it.pivot_table(index="minute", columns="metric", values="close")
        volumes = of_it.groupby("metric")["volume"].sum()
        weights = closes.notna() * volumes
        totals = weights.sum(axis=1)
        weighted = (closes * weights).sum(axis=1) / totals
        weighted = weighted.where(totals > 0, closes.mean(axis=1)).where(closes.notna().sum(axis=1) > 1)
        deviations = closes.sub(weighted, axis=0).div(weighted, axis=0) * 10_000
        for metric in map(str, closes):
            own, prices = deviations[metric].dropna(), closes[metric].dropna()
            newest = own.index.max()
            largest = own.abs().idxmax() if len(own) else pd.NaT
            rows[metric] = {
                "market": market,
                "exchange": metric.partition(":")[0],
                "last_price": prices.iloc[-1],
                "last_minute": prices.index[-1],
                "volume_24h": volumes[metric],
                "volume_share": volumes[metric] / volumes.sum() if volumes.sum() else np.nan,
                "weighted_price": weighted.get(newest, np.nan),
                "deviation_bps": own.get(newest, np.nan),
                "deviation_minute": newest,
                "largest_deviation_bps": own.get(largest, np.nan),
                "largest_deviation_minute": largest,
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def compared(published: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Compare a table `markets` with what is expected."""
    got = published.set_index("metric").drop(columns=["base", "quote"])
    assert sorted(got.index) == sorted(wanted.index)
    wanted = wanted.loc[got.index].astype({name: got[name].dtype for name in got.columns.map(str)})
    pd.testing.assert_frame_equal(got, wanted, rtol=1e-9, atol=1e-7, check_index_type=False, check_names=False)
