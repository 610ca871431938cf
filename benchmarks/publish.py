"""What publishing costs: ranking 1,000 metrics beside pandas, and whether a year of history makes it slower.

pandas reads the same Parquet files and computes the same four rankings; the two take turns, and their answers are
compared. Publishing does more than that: it also lists what is available and missed, and writes and swaps the file.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publish import publish
from pricetracker_dagster.store.store import Store, store_in

ROUNDS = 9
AS_OF = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
MEASURES = ["price", "volume", "change_absolute", "change_percentage"]


def main() -> None:
    """Measure and print medians and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        beside_pandas(store_in(Path(folder) / "wide"))
        flatness(Path(folder))


def beside_pandas(store: Store) -> None:
    """Publish and rank 1,000 metrics of 24 hours, in turn with pandas."""
    metrics = [f"KRAKEN:M{number:03}USD" for number in range(1000)]
    minutes = pd.date_range(end=AS_OF, periods=1440, freq="min", unit="us")
    store.prices.upsert(random_walks(metrics, minutes))
    files = store.prices.files()

    ours, theirs = in_turn(lambda: published(store), lambda: ranked_by_pandas(files))
    answer = (
        open_prices(store.folder.published)
        .sql("SELECT measure, rank, metric, stddev FROM metric_rank ORDER BY ALL")
        .df()
    )
    expected = ranked_by_pandas(files).sort_values(["measure", "rank"], ignore_index=True)[list(answer.columns)]
    pd.testing.assert_frame_equal(answer, expected, rtol=1e-9)

    print(
        f"publish and rank 1,000 metrics x 24 h ({store.prices.rows():,} rows in {len(files)} files), "
        f"{ROUNDS} of each in turn"
    )
    print(
        f"  publish {ours * 1000:.0f} ms   pandas {theirs * 1000:.0f} ms   ratio {theirs / ours:.1f} (goal: 5 or more)"
    )


def flatness(folder: Path) -> None:
    """Publish 3 metrics with a month and with a year of history, in turn."""
    stores = {}
    for days in (30, 365):
        stores[days] = store_in(folder / f"{days} days")
        minutes = pd.date_range(end=AS_OF - 30 * MINUTE, periods=days * 1440, freq="min", unit="us")
        metrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"]
        stores[days].prices.upsert(random_walks(metrics, minutes))
        maintain(stores[days])
        for minute in range(29, -1, -1):  # and what half an hour of ticks adds
            tick = pd.date_range(end=AS_OF - minute * MINUTE, periods=1, freq="min", unit="us")
            stores[days].prices.upsert(random_walks(metrics, tick))
    month, year = in_turn(lambda: published(stores[30]), lambda: published(stores[365]))
    print(f"publish 3 metrics, {ROUNDS} of each in turn")
    print(f"  after 30 days {month * 1000:.0f} ms   after 365 days {year * 1000:.0f} ms   ratio {year / month:.2f}")


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of each, after one run of each that does not count."""
    one()
    other()
    pairs = [(timed(one), timed(other)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def published(store: Store) -> None:
    """Publish, though nothing has changed: every metric is tracked, and the file is gone."""
    store.folder.published.unlink(missing_ok=True)
    done = publish(store, None, now=AS_OF + timedelta(seconds=63))
    assert done.built


def ranked_by_pandas(files: list[str]) -> pd.DataFrame:
    """Return the four rankings of the last 24 hours, as pandas computes them."""
    rows = pd.concat(pd.read_parquet(file, columns=["metric", "minute", "open", "close", "volume"]) for file in files)
    rows = rows[(rows["minute"] > AS_OF - DAY) & (rows["minute"] <= AS_OF)]
    change = rows["close"] - rows["open"]
    measured = pd.DataFrame(
        {
            "price": rows["close"],
            "volume": rows["volume"],
            "change_absolute": change,
            "change_percentage": change / rows["open"].where(rows["open"] != 0) * 100,
        }
    )
    groups = measured.groupby(rows["metric"])
    rankings = []
    for measure in MEASURES:
        ranking = groups[measure].agg(stddev="std", mean="mean", observations="count").reset_index()
        ranking = ranking.sort_values(["stddev", "metric"], ascending=[False, True], ignore_index=True)
        rankings.append(ranking.assign(measure=measure, rank=np.arange(1, len(ranking) + 1)))
    return pd.concat(rankings, ignore_index=True)


def random_walks(metrics: list[str], minutes: pd.DatetimeIndex) -> pa.Table:
    """Make up candles: every metric in every minute."""
    random = np.random.default_rng(1)
    shape = (len(metrics), len(minutes))
    close = np.exp(random.normal(0, 0.001, shape).cumsum(axis=1)) * random.uniform(0.1, 50_000, (len(metrics), 1))
    begin = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    return pa.table(
        [
            pa.array(metrics).take(pa.array(np.repeat(np.arange(len(metrics)), len(minutes)))),
            pa.array(np.tile(minutes.to_numpy(), len(metrics)), SCHEMA.field("minute").type),
            begin.ravel(),
            np.maximum(begin, close).ravel(),
            np.minimum(begin, close).ravel(),
            close.ravel(),
            random.exponential(2, shape).round(8).ravel(),
            random.integers(1, 99, shape).ravel(),
            pa.array([AS_OF] * (shape[0] * shape[1]), SCHEMA.field("fetched_at").type),
        ],
        schema=SCHEMA,
    )


if __name__ == "__main__":
    main()
