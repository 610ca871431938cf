"""A publisher: stores and publishes a new minute each second, and keeps each published file for who compares.

``python -m benchmarks.publishing FOLDER METRICS`` goes on from the newest minute of a folder until it is ended.
"""

import os
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from benchmarks.publish import random_walks
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.process.parent import die_with_parent
from pricetracker_dagster.reading.published import PublishedFile
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import Store, store_in


def names(count: int) -> list[str]:
    """Return names of metrics."""
    return [f"KRAKEN:M{number:03}USD" for number in range(count)]


def kept_files(store: Store) -> Path:
    """Return the folder of the published files that were, and the one that is."""
    return store.folder.published.parent.parent / "kept"


def fill(folder: Path, metrics: int, as_of: datetime) -> Store:
    """Store and publish 24 hours of so many metrics."""
    store = store_in(folder / "data")
    kept_files(store).mkdir(parents=True, exist_ok=True)
    minutes = pd.date_range(end=as_of, periods=1440, freq="min", unit="us")
    store.prices.upsert(random_walks(names(metrics), minutes))
    _publish(store, names(metrics), as_of)
    return store


def main() -> None:
    """Publish until the end."""
    die_with_parent(signal.SIGTERM)
    store, metrics = store_in(Path(sys.argv[1]) / "data"), names(int(sys.argv[2]))
    minute = PublishedFile(store.folder.published).as_of
    assert minute is not None
    due = time.monotonic()
    while True:
        due = max(due + 1, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        minute += MINUTE
        store.prices.upsert(random_walks(metrics, pd.date_range(end=minute, periods=1, freq="min", unit="us")))
        _publish(store, metrics, minute)


def _publish(store: Store, metrics: list[str], minute: datetime) -> None:
    publish(store, metrics, now=minute + timedelta(seconds=63))
    os.link(store.folder.published, kept_files(store) / f"{minute:%Y-%m-%dT%H%M}.duckdb")


if __name__ == "__main__":
    main()
