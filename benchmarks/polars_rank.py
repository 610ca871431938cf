"""Publishing and ranking 1,000 metrics, in turn with the same four rankings by polars from the same Parquet."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.publish import random_walks
from benchmarks.publishing import fill, names
from benchmarks.rows import Row, absent, alone, faster
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.store.publishing.publish import publish

METRICS, ROUNDS = 1000, 5
AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)


def measure() -> Iterator[Row]:
    """Store minute after minute; publish each, and let polars rank its 24 hours."""
    name = f"publish and rank {METRICS:,} metrics, beside polars"
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        metrics, store = names(METRICS), fill(Path(folder), METRICS, AS_OF)
        for number in range(1, ROUNDS + 2):
            minute = AS_OF + number * MINUTE
            store.prices.upsert(random_walks(metrics, pd.date_range(end=minute, periods=1, freq="min", unit="us")))
            began = time.perf_counter()
            publish(store, metrics, now=minute + timedelta(seconds=63))
            ours.append(time.perf_counter() - began)
            if find_spec("polars"):
                began = time.perf_counter()
                right = ranked(store.prices.files(), minute)
                theirs.append(time.perf_counter() - began)
                with duckdb.connect(str(store.folder.published), read_only=True) as connection:
                    told = connection.execute(
                        "SELECT metric, stddev FROM metric_rank WHERE measure = 'price'"
                    ).fetchall()
                assert len(told) == len(right)
                assert np.allclose([right[metric] for metric, _ in told], [stddev for _, stddev in told], rtol=1e-9)
    mine = statistics.median(ours[1:]) * 1000
    if theirs:
        yield faster(name, "ms", mine, statistics.median(theirs[1:]) * 1000, "polars")
    else:
        yield absent(name, "ms", mine, "", "pip install polars")


def ranked(files: list[str], as_of: datetime) -> dict[str, float]:
    """Return the deviation of each metric's price, of the four that polars works out."""
    import polars as pl

    change = pl.col("close") - pl.col("open")
    measures = {
        "price": pl.col("close"),
        "volume": pl.col("volume"),
        "change_absolute": change,
        "change_percentage": change / pl.col("open") * 100,
    }
    recent = pl.scan_parquet(files, hive_partitioning=False).filter(
        (pl.col("minute") > as_of - DAY) & (pl.col("minute") <= as_of)
    )
    of_it = [each.std().alias(name) for name, each in measures.items()]
    of_it += [each.mean().alias(f"mean of {name}") for name, each in measures.items()]
    rows = recent.group_by("metric").agg(of_it).sort("price", descending=True).collect()
    return dict(zip(rows["metric"].to_list(), rows["price"].to_list(), strict=True))


if __name__ == "__main__":
    alone(measure)
