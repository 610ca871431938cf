"""What judging costs: 1,000 and 10,000 metrics x 1 minute by the default rule, beside pandas on the same files.

Both read the hour before and the minute from Parquet, and give the minutes above; they take turns, and their answers
are compared. Judging for real also compares two versions of the table first, to know what is new.
"""

import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.publish import AS_OF, ROUNDS, in_turn, random_walks
from pricetracker_dagster.alerts.backtest import backtest
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.store import Store, store_in

RULE = AlertRule()


def main() -> None:
    """Measure and print medians and their ratios."""
    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            beside_pandas(store_in(Path(folder)), count)


def beside_pandas(store: Store, count: int) -> None:
    """Judge one minute of so many metrics, in turn with pandas."""
    minutes = pd.date_range(end=AS_OF, periods=RULE.window_minutes + 1, freq="min", unit="us")
    store.prices.upsert(random_walks([f"KRAKEN:M{number:05}USD" for number in range(count)], minutes))
    files = store.prices.files()
    ours, theirs = in_turn(lambda: backtest(store, [RULE], AS_OF, AS_OF), lambda: judged_by_pandas(files))
    mine = {(verdict.metric, verdict.measure) for verdict in backtest(store, [RULE], AS_OF, AS_OF)}
    assert mine == judged_by_pandas(files)
    print(f"judge {count:,} metrics x 1 minute, {len(mine)} of 2 measures above, {ROUNDS} of each in turn")
    print(f"  judge {ours * 1000:.0f} ms   pandas {theirs * 1000:.0f} ms   ratio {theirs / ours:.1f}")


def judged_by_pandas(files: list[str]) -> set[tuple[str, str]]:
    """Return metric and measure of what is above, as pandas computes it."""
    rows = pd.concat(pd.read_parquet(file, columns=["metric", "minute", "close", "volume"]) for file in files)
    window = rows[(rows["minute"] >= AS_OF - RULE.window_minutes * MINUTE) & (rows["minute"] < AS_OF)]
    newest = rows[rows["minute"] == AS_OF].set_index("metric")
    above: set[tuple[str, str]] = set()
    for measure, column in (("price", "close"), ("volume", "volume")):
        before = window.groupby("metric")[column].agg(["mean", "count"])
        is_judged = (before["count"] >= RULE.min_points) & (before["mean"] > 0)
        is_above = newest[column].reindex(before.index) > RULE.factor * before["mean"]
        above |= {(metric, measure) for metric in before.index[is_judged & is_above]}
    return above


if __name__ == "__main__":
    main()
