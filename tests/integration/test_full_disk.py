"""A disk that is full, for real: a small tmpfs. It fails cleanly, and the next tick after space returns heals all."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.errors import StoreError
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench

METRICS = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here, which takes root: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """Fill a disk with a file, but for so many bytes."""
    file = disk / "somebody-elses"
    with file.open("wb") as out:
        out.write(bytes(max(0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - leave)))
    return file


LONG = pytest.mark.long


@pytest.mark.parametrize("leave", [pytest.param(0, marks=LONG), 300_000, pytest.param(5_000_000, marks=LONG)])
def test_a_full_disk_loses_and_doubles_nothing_and_the_next_tick_with_space_heals_all(
    start: Callable[..., Bench], small_disk: Path, leave: int
) -> None:
    bench = start("BTCUSD", "ETHUSD", extra=f'data = "{small_disk}/data"\n')
    settings, now = load_settings(), lambda: bench.now
    store = open_store(settings)

    def tick() -> str:
        done = collect_minute(settings, bench.minute, now=now)
        publish(store, METRICS, now=bench.now, minute=bench.minute)
        return "; ".join([*done.reasons.values(), *done.troubles])

    def stored() -> list[tuple[object, ...]]:
        first = bench.minute - DAY
        return sorted(tuple(each.values()) for each in store.prices.candles(METRICS, first, bench.minute).to_pylist())

    assert tick() == ""
    before, published = stored(), ask_all(store.folder.published)
    filling = fill(small_disk, leave=leave)
    messages = []
    for _ in range(4):
        bench.now += MINUTE
        try:
            messages.append(tick())
        except StoreError as error:
            messages.append(str(error))
        assert ask_all(store.folder.published)[: len(published)] == published
    assert stored()[: len(before)] == before or leave > 1_000_000
    if leave < 1_000_000:
        assert all(f"the disk of {small_disk}/data" in message for message in messages), messages
        assert all("is full" in message and "free some space" in message for message in messages), messages
        assert maintain(store, now=bench.now).troubles == () or leave == 0
    filling.unlink()
    bench.now += MINUTE
    assert tick() == ""
    rows = stored()
    assert len({row[:2] for row in rows}) == len(rows) == len(before) + 2 * 5
    assert [row for row in rows if row in set(before)] == before
    assert len(ask_all(store.folder.published)) == len(published) + 2 * 5 * 4
    assert store.prices.examine() == []


def ask_all(published: Path) -> list[tuple[object, ...]]:
    """Return the rows of the published file that a reader sees, oldest first."""
    import duckdb

    with duckdb.connect(str(published), read_only=True) as connection:
        return connection.execute("FROM history_24h ORDER BY minute, metric, measure").fetchall()
