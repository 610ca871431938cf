"""The asset ``storage``: its numbers are those of the disk and of SQL, and it warns in time."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import duckdb
import pytest

from pricetracker_dagster.assets.storage import storage
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.resources import Tracker
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store import disk
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.store import Store, open_store
from tests.integration.test_store import BTC, ETH, MIDNIGHT, row, table

NOW = MIDNIGHT + timedelta(hours=5)


@pytest.fixture
def store(write_settings: Callable[[str], Path]) -> Store:
    write_settings(f'metrics = ["{BTC}"]\n')
    store = open_store(load_settings())
    for minute in (-3, -2, -1, 0, 1):
        store.prices.upsert(table([row(BTC, minute), row(ETH, minute)]), now=NOW)
    return store


def measured(now: datetime = NOW) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    ran = dg.materialize([storage], resources={"tracker": Tracker(load_settings, now=lambda: now)})
    [said] = ran.asset_materializations_for_node("storage")
    [checked] = ran.get_asset_check_evaluations()
    return {name: value.value for name, value in said.metadata.items()}, checked


def du(folder: Path) -> int:
    """Bytes of the files of a folder, by another program."""
    found = subprocess.check_output(["find", folder, "-type", "f", "-printf", "%s\n"], text=True)
    return sum(map(int, found.split()))


def test_its_numbers_are_those_of_the_disk_and_of_sql(store: Store) -> None:
    store.records.causes.upsert([{"metric": BTC, "minute": MIDNIGHT, "cause": "not run", "noted_at": NOW}])
    maintain(store, now=NOW)
    measured()
    before = du(store.folder.path)
    numbers, checked = measured()
    files = store.prices.files()
    [(rows, oldest, newest)] = duckdb.execute(
        "SELECT count(*), epoch(min(minute)), epoch(max(minute)) FROM read_parquet($1)", [files]
    ).fetchall()
    size = sum(Path(file).stat().st_size for file in files)
    assert numbers["files"] == len(files)
    assert numbers["dagster/row_count"] == rows == 10
    assert (numbers["oldest_minute"], numbers["newest_minute"]) == (oldest, newest)
    assert numbers["price_bytes"] == size
    assert numbers["bytes_a_candle"] == pytest.approx(size / 10, abs=1e-3)
    assert numbers["record_bytes"] == du(store.records.causes.path)
    assert numbers["folder_bytes"] == before
    assert numbers["dagster_bytes"] == 0
    assert {"growth_bytes_a_day", "days_left"} & numbers.keys() == set()
    assert (checked.passed, checked.severity) == (True, dg.AssetCheckSeverity.WARN)


def test_an_empty_folder_is_measured_as_well(write_settings: Callable[[str], Path]) -> None:
    write_settings(f'metrics = ["{BTC}"]\n')
    load_settings().folder.mkdir()
    numbers, checked = measured()
    assert (numbers["files"], numbers["dagster/row_count"]) == (0, 0)
    assert checked.passed


@pytest.mark.parametrize(("free", "days"), [(27_000_000, 13.5), (28_000_000, 14.0)])
def test_it_warns_where_the_disk_lasts_for_less_than_two_weeks(
    store: Store, monkeypatch: pytest.MonkeyPatch, free: int, days: float
) -> None:
    size = du(store.folder.path)
    kept = [
        {"at": (NOW - timedelta(days=8)).isoformat(), "bytes": 1},  # too long ago
        {"at": (NOW - timedelta(days=3)).isoformat(), "bytes": size - 6_000_000},  # two million a day
        {"at": (NOW - timedelta(hours=1)).isoformat(), "bytes": size - 1},
        {"at": "soon", "bytes": 5},
        7,
    ]
    (store.folder.state / StateFile.SIZES).write_text(json.dumps({"measured": kept}))
    monkeypatch.setattr(disk, "_bytes_in", lambda _: size)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    numbers, checked = measured()
    assert (numbers["growth_bytes_a_day"], numbers["days_left"]) == (2_000_000, days)
    assert checked.passed == (days >= 14)
    assert checked.metadata["lasts"].value == f"{days} days at 2.0 MB a day"
    assert ("way_out" in checked.metadata) == (days < 14)


def test_what_does_not_grow_lasts_and_a_file_that_is_damaged_begins_anew(store: Store) -> None:
    (store.folder.state / StateFile.SIZES).write_text("no JSON")
    measured()
    numbers, checked = measured(NOW + timedelta(days=2))
    assert numbers["growth_bytes_a_day"] >= 0  # the file of measurements itself
    assert checked.passed
    kept = json.loads((store.folder.state / StateFile.SIZES).read_text())["measured"]
    assert [entry["at"] for entry in kept] == [each.isoformat() for each in (NOW, NOW + timedelta(days=2))]
    assert kept[0]["at"].endswith("+00:00")
    assert NOW.tzinfo == UTC
