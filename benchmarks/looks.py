"""What the alarms and the checks cost each minute: one look of each sensor and each check at 1,000 and 10,000 metrics.

The folder is as a tick leaves it: 24 hours stored and joined as upkeep joins them, then a small file a minute of this
hour, everything published, and no alert open. The newest minute is new to ``spike_alerts``, then nothing is. Sensors
are evaluated as the daemon does, in an instance in memory; of a check its question is asked, without Dagster's run.

``python -m benchmarks.looks 1000`` measures one number of metrics, ``… 1000 --profile`` says where the time goes.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.rows import Row, alone, bounded
from pricetracker_dagster.assets import checks
from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.candles.schema import SCHEMA
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.sensors.alarms import missed_minutes, spike_alerts
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store import coverage
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, open_store
from pricetracker_dagster.store.tracked import note_tracked
from pricetracker_dagster.store.writing import PROPERTIES

HOUR = datetime(2026, 3, 3, 12, tzinfo=UTC)
NEWEST = HOUR + 44 * MINUTE
NOW = NEWEST + timedelta(seconds=75)
GOALS = {1_000: 0.3, 10_000: 2.0}
"""Seconds of one look, by the number of metrics."""
ROUNDS = 5


def measure() -> Iterator[Row]:
    """Measure looks at both sizes."""
    for count in GOALS:
        yield from measured(count)


def measured(count: int, *, profiled: bool = False) -> Iterator[Row]:
    """Measure each look at so many metrics."""
    with tempfile.TemporaryDirectory() as name, dg.DagsterInstance.ephemeral(name) as instance:
        tracker = prepared(Path(name), [f"KRAKEN:M{number:05}USD" for number in range(count)])
        for what, look in looks(tracker, instance).items():
            look()  # what a process does once does not count
            seconds = statistics.median(timed(look) for _ in range(ROUNDS))
            yield bounded(f"{what}, {count:,} metrics", "s", seconds, at_most=GOALS.get(count))
            if profiled:
                profile = cProfile.Profile()
                profile.runcall(look)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(30)


def looks(tracker: Tracker, instance: dg.DagsterInstance) -> dict[str, Callable[[], object]]:
    """Return each look by what it is."""
    store, settings = tracker.store(), tracker.settings()
    metrics = [str(metric) for metric in settings.tracked]
    table = store.prices.open()
    assert table is not None

    def evaluated(sensor: dg.SensorDefinition, cursor: str | None = None) -> object:
        with dg.build_sensor_context(instance, cursor=cursor, resources={"tracker": tracker}) as context:
            return sensor(context)

    def no_minute_missing() -> object:
        since = note_tracked(settings.state, metrics, NEWEST + MINUTE)
        gaps = coverage.missing_of_day(store.prices, since, NEWEST)
        assert not gaps
        return gaps

    def candles_sane() -> object:
        invalid = [*store.prices.invalid(NEWEST - DAY + MINUTE, NEWEST), *store.prices.future_rows(NOW)]
        assert not invalid
        return invalid

    return {
        "spike_alerts, a new minute": lambda: evaluated(spike_alerts, str(table.version() - 1)),
        "spike_alerts, nothing new": lambda: evaluated(spike_alerts, str(table.version())),
        "missed_minutes": lambda: evaluated(missed_minutes),
        "check no_minute_missing": no_minute_missing,
        "check candles_sane": candles_sane,
        "check every_metric_ranked": lambda: checks._every_metric_ranked(store, metrics, NEWEST),
        "check minute_stored": lambda: store.prices.gaps(metrics, NEWEST, NEWEST),
    }


def prepared(folder: Path, metrics: Sequence[str]) -> Tracker:
    """Write settings, store 24 hours and this hour's small files, publish."""
    file = folder / "pricetracker.toml"
    file.write_text(f"metrics = {json.dumps(metrics)}\n")
    os.environ["PRICETRACKER_CONFIG"] = str(file)
    tracker = Tracker(load_settings, lambda: NOW)
    settings = tracker.settings()
    store = open_store(settings)
    note_tracked(settings.state, metrics, NEWEST - 2 * DAY)
    store.prices.open_or_create()
    begin = NEWEST - DAY + MINUTE
    for first, length in ((begin, (HOUR.replace(hour=0) - begin) // MINUTE), (HOUR.replace(hour=0), 720)):
        append(store, metrics, first, length)
    for minute in range((NEWEST - HOUR) // MINUTE + 1):
        append(store, metrics, HOUR + minute * MINUTE, 1)
    publish(store, metrics, now=NOW)
    return tracker


def append(store: Store, metrics: Sequence[str], first: datetime, length: int) -> None:
    """Store so many minutes of all metrics, of one UTC day, as one commit."""
    random = np.random.default_rng(int(first.timestamp()))
    shape = (len(metrics), length)
    price = 100 + random.normal(0, 0.05, shape).cumsum(axis=1).round(2)
    unix = int(first.timestamp()) + 60 * np.arange(length)
    minutes = pa.array(np.tile(unix * 1_000_000, len(metrics))).cast(SCHEMA.field("minute").type)
    columns = {
        "metric": pa.DictionaryArray.from_arrays(
            np.repeat(np.arange(len(metrics), dtype=np.int32), length), pa.array(metrics)
        ).cast(pa.string()),
        "minute": minutes,
        **{name: price.ravel() for name in ("open", "high", "low", "close")},
        "volume": random.uniform(1, 2, shape).round(4).ravel(),
        "trades": random.integers(1, 99, shape).ravel(),
        "fetched_at": minutes,
    }
    rows = pa.table([pa.array(columns[name]).cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA)
    rows = rows.append_column("date", pa.array([first.date()]).take(pa.array(np.zeros(len(rows), np.int8))))
    write_deltalake(store.prices.load(), rows, mode="append", writer_properties=PROPERTIES)


def timed(look: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    look()
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=int, nargs="*", default=[*GOALS])
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    alone(lambda: (row for count in asked.metrics for row in measured(count, profiled=asked.profile)))
