"""The drill in fast motion, in short: a few hours of random faults and killed processes; `make drill` tells a week."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from benchmarks.drill_holds import FILES_A_DAY, disk, doubled
from benchmarks.drill_published import faults_of
from benchmarks.drill_story import Story
from tests.market import METRICS, market, table, walk

SEED = 11
CALM, LONGER_CALM = (1, 70, *[1] * 4), (1, 1, 70, *[1] * 6)
"""Minutes from step to step at the end: what waited for its turn has come, then outages are over."""


@pytest.mark.long
@pytest.mark.parametrize(("hours", "calm"), [(1.2, CALM), (3.6, LONGER_CALM)])
def test_a_few_hours_of_random_faults_and_killed_processes_leave_everything_in_order(
    tmp_path: Path, hours: float, calm: Sequence[int]
) -> None:
    with Story(tmp_path, SEED, readers=1, calm=calm) as story:
        story.go(days=hours / 24)
        assert story.counts["killed: tick"] + story.counts["killed: watch"] >= 1
        assert story.readers[0].rounds >= 1


CHANGES = {
    "UPDATE metric_rank SET stddev = stddev * (1 + 1e-8) WHERE rank = 1": "of history_24h it is",
    "UPDATE metric_rank SET rank = 3 - rank WHERE measure = 'price'": "the ranking of price is out of order",
    "DELETE FROM metric_rank WHERE rank = 2": "metric_rank has None for",
    "UPDATE snapshot SET rows = rows + 1": "snapshot says",
    "UPDATE snapshot SET metrics = 7": "snapshot counts 7 metrics",
    "DROP TABLE missed_minutes": "a reader failed: CatalogException",
}
"""A change of a published file, and what is said of it."""


def test_a_published_file_that_is_not_consistent_in_itself_is_seen(tmp_path: Path) -> None:
    store, _ = market(tmp_path / "data", days=1)
    assert faults_of(store.folder.published, twice=True) == []
    assert doubled(store) == []
    for number, (change, seen) in enumerate(CHANGES.items()):
        file = Path(shutil.copy(store.folder.published, tmp_path / f"{number}.duckdb"))
        file.chmod(0o644)
        with duckdb.connect(str(file)) as connection:
            connection.execute(change)
        assert seen in "\n".join(faults_of(file)), change


def test_a_disk_that_is_not_tidy_is_seen(tmp_path: Path) -> None:
    store, _ = market(tmp_path / "data", days=2, metrics=METRICS[:1])
    assert disk(store, days=1) == []
    hour = pd.date_range("2026-03-02 00:00", periods=60, freq="min", tz="UTC", unit="us")
    for number in range(FILES_A_DAY):  # beside the one that is there
        store.prices.upsert(table(walk(f"KRAKEN:N{number}USD", hour)))
    assert disk(store, days=1) == [f"{FILES_A_DAY + 1} live files on 2026-03-02"]
    with (store.folder.path / "left_behind").open("wb") as file:
        file.truncate(200_000_000)  # beside some two million
    [_, size] = disk(store, days=1)
    assert re.fullmatch("20[0-9] MB on disk after 1.0 days", size)
