"""What the simulated exchange should have been found to say: the truth beside which the drill compares what is stored.

The expected values are added up from the market's trades here and not by any answer of the exchange.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb

from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.simulator.market import KNOWN_PAIRS, Pair, candle
from pricetracker_dagster.store.live_files import patterns
from pricetracker_dagster.store.store import Store

PAIRS = {"SIMULATED:BTCUSD": "XBTUSD", "SIMULATED:ETHUSD": "ETHUSD", "SIMULATED:GRTETH": "GRTETH"}
"""Metric to the exchange's name; the last one has many minutes without trades."""

Values = tuple[str, ...]


Bursts = Mapping[tuple[str, int], int]
"""By the exchange's name of a pair and the Unix seconds of a minute, how many times as much was traded in it."""


def expected(exchange: Simulator, metric: str, first: datetime, last: datetime, bursts: Bursts) -> dict[int, Values]:
    """Return the final values of each minute, by Unix seconds."""
    pair, found = _pair(metric), {}
    for minute in range(int(first.timestamp()), int(last.timestamp()) + 60, 60):
        factor = bursts.get((pair.altname, minute), 1)
        traded = exchange.market.trades(pair, minute)
        trades = [trade._replace(volume=trade.volume * factor) for trade in traded]
        of_it = candle(pair, minute, trades, None if trades else exchange.market.close_before(pair, minute))
        assert of_it is not None
        found[minute] = _shown(pair, of_it.open, of_it.high, of_it.low, of_it.close, of_it.volume, of_it.trades)
    return found


def stored(store: Store, metric: str) -> dict[int, Values]:
    """Return the rows of a metric as they lie on disk, by Unix seconds."""
    rows = duckdb.execute(
        "SELECT epoch(minute)::BIGINT, open, high, low, close, volume, trades FROM read_parquet($files)"
        " WHERE metric = $metric",
        {"files": patterns(store.prices.files()), "metric": metric},
    ).fetchall()
    return {row[0]: _shown(_pair(metric), *row[1:]) for row in rows}


def differing(exchange: Simulator, store: Store, first: datetime, last: datetime, bursts: Bursts) -> list[str]:
    """Return what is not stored as it should be, a line a minute."""
    wrong = []
    for metric in PAIRS:
        mine = stored(store, metric)
        right: Mapping[int, Values] = expected(exchange, metric, first, last, bursts)
        wrong += [
            f"{metric} {_text(minute)}: {mine.get(minute)} is stored, {values} is right"
            for minute, values in right.items()
            if mine.get(minute) != values
        ]
        wrong += [f"{metric} {_text(minute)}: is yet to come" for minute in mine if minute > last.timestamp()]
    return wrong


def _pair(metric: str) -> Pair:
    [pair] = [pair for pair in KNOWN_PAIRS if pair.altname == PAIRS[metric]]
    return pair


def _shown(pair: Pair, *values: Any) -> Values:
    *prices, volume, trades = values
    return (*(str(pair.price(Decimal(repr(float(price))))) for price in prices), f"{float(volume):.8f}", str(trades))


def _text(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute, UTC):%Y-%m-%d %H:%M}"
