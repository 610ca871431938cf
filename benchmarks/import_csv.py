"""What importing an OHLCVT file costs, beside DuckDB's plain reading of the same CSV.

The file is generated: four years of one pair's minutes, a tenth of them without trades and so absent in it. Importing
judges each line, fills what is absent and upserts into a new Delta table; ``read_csv`` puts the lines into a table in
memory.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from pricetracker_dagster.exchanges.kraken import ohlcvt
from pricetracker_dagster.store.store import Store, store_in

ROUNDS = 3
DAYS = 4 * 365
NOW = datetime(2026, 3, 3, 12, 5, tzinfo=UTC)


def main() -> None:
    """Measure and print rows a second."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "XBTUSD_1.csv"
        lines = generate(file)
        pairs = []
        for number in range(ROUNDS):
            store = store_in(Path(folder) / f"store {number}")
            pairs.append((timed(partial(read_plainly, file)), timed(partial(imported, file, store))))
        minutes = store.prices.rows()
        again = timed(lambda: imported(file, store))
        parts = {
            "read, judge and fill": statistics.median(
                timed(lambda: list(ohlcvt.read([file], fetched_at=NOW))) for _ in range(ROUNDS)
            ),
        }
    plain, ours = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    print(f"import {lines:,} lines, {minutes:,} minutes with those without trades; {ROUNDS} of each in turn")
    print(f"  read_csv {plain:.2f} s ({lines / plain:,.0f} lines a second)")
    rates = f"{lines / ours:,.0f} lines, {minutes / ours:,.0f} minutes a second"
    print(f"  import   {ours:.2f} s ({rates})   ratio {ours / plain:.1f}")
    for part, seconds in parts.items():
        print(f"    of which to {part} {seconds:.2f} s")
    print(f"  import again, nothing new: {again:.2f} s")


def generate(file: Path) -> int:
    """Write years of one pair's minutes; return how many lines."""
    random = np.random.default_rng(1)
    unix = 1_577_836_800 + 60 * np.arange(DAYS * 1440)
    close = np.exp(random.normal(0, 0.001, len(unix)).cumsum()) * 20_000
    begin = np.concatenate([close[:1], close[:-1]])
    rows = pd.DataFrame(
        {
            "unix": unix,
            "open": begin.round(1),
            "high": np.maximum(begin, close).round(1),
            "low": np.minimum(begin, close).round(1),
            "close": close.round(1),
            "volume": random.exponential(2, len(unix)).round(8),
            "trades": random.integers(1, 99, len(unix)),
        }
    )
    rows = rows[(random.random(len(unix)) >= 0.1) | (rows.index == 0) | (rows.index == len(unix) - 1)]
    rows.to_csv(file, header=False, index=False)
    return len(rows)


def read_plainly(file: Path) -> None:
    """Read the CSV with nothing but DuckDB."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE lines AS FROM read_csv($file, header = false)", {"file": str(file)})


def imported(file: Path, store: Store) -> None:
    """Do what ``pricetracker import`` does."""
    for sheet in ohlcvt.read([file], fetched_at=NOW):
        store.prices.upsert(sheet.candles)


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
