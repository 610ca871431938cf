"""What it costs to compare exchanges: a publication of five of them with 200 markets each, beside 1,000 other markets.

The same minutes are published from two folders in turn, in one process, and differ in the names of their metrics alone.
CPU is of all threads.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pandas as pd

from benchmarks.publish import filled, of_kraken, random_walks
from benchmarks.rows import Row, alone, share
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.store.publishing.publish import publish

ROUNDS = 15
_EXCHANGES = ("BINANCE", "BITSTAMP", "COINBASE", "KRAKEN", "OKX")


def of_five(number: int) -> str:
    """Return the name of a metric: five in a row are of one market."""
    return f"{_EXCHANGES[number % 5]}:M{number // 5:05}USD"


def measure() -> Iterator[Row]:
    """Publish both in turn."""
    with tempfile.TemporaryDirectory() as folder:
        stores = {
            several: filled(Path(folder) / named.__name__, 1000, named=named)
            for several, named in ((True, of_five), (False, of_kraken))
        }
        times: dict[bool, list[float]] = {True: [], False: []}
        as_of = stores[True][2]
        for number in range(ROUNDS + 1):
            as_of += MINUTE
            for several, (store, metrics, _) in stores.items():
                store.prices.upsert(random_walks(metrics, pd.date_range(end=as_of, periods=1, freq="min", unit="us")))
                began = time.process_time()
                assert publish(store, None, now=as_of + timedelta(seconds=63)).as_of == as_of
                if number:  # the first one reads all
                    times[several].append(time.process_time() - began)
        with duckdb.connect(str(stores[True][0].folder.published), read_only=True) as connection:
            told = "SELECT count(*), count(deviation_bps), count(DISTINCT market) FROM markets"
            assert connection.execute(told).fetchall() == [(1000, 1000, 200)]
    compared, apart = (statistics.median(times[several]) * 1000 for several in (True, False))
    name = "CPU of a publication of 1,000 metrics, five exchanges of 200 markets"
    yield share(name, "ms", compared, apart, "1,000 markets", at_most=1.5)


if __name__ == "__main__":
    alone(measure)
