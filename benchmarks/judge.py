"""What judging costs: 1,000 and 10,000 metrics x 1 minute by the default rule, beside pandas on the same files.

Both read the hour before and the minute from the same Parquet files, which is part of the time, and say of each metric
and measure what the rule says: value, average, ratio, points, and the verdict with the reason where it is not judged.
Some metrics have spiked, some lack minutes, some have no volume. The answers are compared; the two take turns, and what
is compared is the CPU time of all their threads.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.publish import AS_OF, random_walks
from benchmarks.rows import Row, alone, faster
from pricetracker_dagster import sql
from pricetracker_dagster.alerts.detect import judge_stored
from pricetracker_dagster.alerts.rules import Verdict, Verdicts
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.store import Store, store_in

RULE = AlertRule()
ROUNDS = 9
KEY = ["metric", "measure"]


def measure() -> Iterator[Row]:
    """Judge one minute of 1,000 and of 10,000 metrics, in turn with pandas."""
    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            yield from beside_pandas(store_in(Path(folder)), count)


def beside_pandas(store: Store, count: int) -> Iterator[Row]:
    """Judge one minute of so many metrics."""
    minutes = pd.date_range(end=AS_OF, periods=RULE.window_minutes + 1, freq="min", unit="us")
    store.prices.upsert(odd(random_walks([f"KRAKEN:M{number:05}USD" for number in range(count)], minutes)))
    files = store.prices.files()

    def ours() -> Verdicts:
        return judge_stored(store, [RULE], None, AS_OF, AS_OF)

    said = pd.DataFrame(ours().rows(), columns=Verdict._fields).sort_values(KEY, ignore_index=True)
    expected = judged_by_pandas(files).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(said[expected.columns], expected, rtol=1e-9, check_dtype=False)
    assert set(said["verdict"]) == {"above", "not above", "too few points", "average too small"}
    figures = in_turn(ours, lambda: judged_by_pandas(files))
    for unit, mine, theirs in zip(("ms of CPU", "ms"), *figures, strict=True):
        goal = 1 if unit == "ms of CPU" else None
        yield faster(f"judge {count:,} metrics x 1 minute, reasons included", unit, mine, theirs, "pandas", goal)


def odd(rows: pa.Table) -> pa.Table:
    """Let each 40th metric spike, each 50th lack most of the hour, each 60th have no volume."""
    source = """
        SELECT * EXCLUDE (number) REPLACE (
            CASE WHEN number % 60 = 0 THEN 0 WHEN number % 40 = 0 AND minute = $newest THEN volume * 90 ELSE volume END
            AS volume
        )
        FROM (SELECT *, metric[9:13]::INT AS number FROM rows)
        WHERE number % 50 <> 0 OR minute = $newest OR epoch(minute)::BIGINT // 60 % 3 = 0
        ORDER BY metric, minute
    """
    return sql.connect(rows=rows).sql(source, params={"newest": AS_OF}).to_arrow_table().cast(rows.schema)


def judged_by_pandas(files: list[str]) -> pd.DataFrame:
    """Return what the rule says of each metric and measure, as pandas computes it."""
    rows = pd.concat(pd.read_parquet(file, columns=["metric", "minute", "close", "volume"]) for file in files)
    window = rows[(rows["minute"] >= AS_OF - RULE.window_minutes * MINUTE) & (rows["minute"] < AS_OF)]
    newest = rows[rows["minute"] == AS_OF].set_index("metric")
    before = window.groupby("metric")[["close", "volume"]].agg(["mean", "count"])
    judged = []
    for name, column in (("price", "close"), ("volume", "volume")):
        value = newest[column]
        average = before[column, "mean"].reindex(value.index)
        points = before[column, "count"].reindex(value.index, fill_value=0)
        conditions = [
            value.isna(),
            points < RULE.min_points,
            average <= RULE.min_average,
            value.abs() > RULE.factor * average * (1 + 1e-9),
        ]
        reasons = ["no value", "too few points", "average too small", "above"]
        verdict = np.select(conditions, reasons, "not above")
        found = {"value": value, "average": average, "ratio": value.abs() / average.where(average != 0)}
        judged.append(pd.DataFrame({**found, "points": points, "verdict": verdict}).reset_index().assign(measure=name))
    return pd.concat(judged, ignore_index=True)


def in_turn(*works: Callable[[], object]) -> list[tuple[float, float]]:
    """Return the median milliseconds of each, of CPU and by the clock."""
    taken: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, of_it in zip(works, taken, strict=True):
            began, used = time.perf_counter(), time.process_time()
            work()
            of_it.append(((time.process_time() - used) * 1000, (time.perf_counter() - began) * 1000))
    return [(statistics.median(cpu for cpu, _ in of), statistics.median(wall for _, wall in of)) for of in taken]


if __name__ == "__main__":
    alone(measure)
