"""What has to hold in the drill beside the values: keys, alerts, outages, disk. Each says what does not."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from benchmarks.drill_market import PAIRS
from pricetracker_dagster.alerts.backtest import backtest
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.settings import Settings
from pricetracker_dagster.store.live_files import PARTITION, patterns
from pricetracker_dagster.store.store import Store

FILES_A_DAY = 8
"""Live files of a day that is over, after maintenance."""

BYTES_A_DAY = 60_000_000
"""What a simulated day of some sixty ticks may leave on disk: replaced files stay for a week of the real clock."""


def doubled(store: Store) -> list[str]:
    """One row a key, whatever was killed; a table that is torn just now cannot be asked."""
    try:
        files = store.prices.files()
    except PricetrackerError:
        return []
    if not files:
        return []
    [(rows, keys)] = duckdb.execute(
        "SELECT count(*), count(DISTINCT (metric, minute)) FROM read_parquet($files)", {"files": patterns(files)}
    ).fetchall()
    return [] if rows == keys else [f"minute_prices has {rows} rows of {keys} keys"]


def unalerted(store: Store, settings: Settings, first: datetime, last: datetime) -> list[str]:
    """Every minute that stands above a rule in the end lies within an alert."""
    spans: dict[tuple[str, str, str], list[tuple[datetime, datetime]]] = {}
    for row in store.records.alerts.rows():
        spans.setdefault((row["rule"], row["metric"], row["measure"]), []).append((row["minute"], row["last_minute"]))
    return [
        f"no alert has {each.metric} {each.measure} at {each.minute:%d %H:%M}, which is above"
        for each in backtest(store, settings.alerts.rules, first, last)
        if not any(begin <= each.minute <= end for begin, end in spans.get((each.rule, each.metric, each.measure), ()))
    ]


def burst_without_alert(store: Store, bursts: Mapping[tuple[str, int], int]) -> list[str]:
    """Each minute in which 5,000 times as much was traded lies within an alert of volume."""
    rows = [row for row in store.records.alerts.rows() if row["measure"] == "volume"]
    names = {pair: metric for metric, pair in PAIRS.items()}
    found = []
    for pair, unix in bursts:
        minute, metric = datetime.fromtimestamp(unix, UTC), names[pair]
        if not any(row["metric"] == metric and row["minute"] <= minute <= row["last_minute"] for row in rows):
            found.append(f"no alert has the burst of {metric} at {minute:%d %H:%M}")
    return found


def outages_left(store: Store) -> list[str]:
    """Each outage is over once everything was right for hours."""
    return [
        f"an incident is open still: {row['cause']}, {row['first']:%d %H:%M} to {row['last']:%d %H:%M}, {row['reason']}"
        for row in store.records.incidents.rows()
        if row["state"] != "resolved"
    ]


def disk(store: Store, days: float) -> list[str]:
    """Few live files a day after maintenance, and bytes in proportion to the days."""
    found = []
    live = Counter(file.rpartition(f"/{PARTITION}=")[2].partition("/")[0] for file in store.prices.files())
    newest = max(live, default="")
    found += [f"{count} live files on {day}" for day, count in live.items() if count > FILES_A_DAY and day != newest]
    size = sum(file.stat().st_size for file in Path(store.folder.path).rglob("*") if file.is_file())
    if size > BYTES_A_DAY * (days + 1):
        found.append(f"{size / 1e6:.0f} MB on disk after {days:.1f} days")
    return found
