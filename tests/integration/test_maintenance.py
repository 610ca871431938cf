"""Maintenance in steps: what has piled up goes bit by bit, newest first, and no step begins while a tick is at work."""

import fcntl
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import DAY, MINUTE
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.store import compaction, maintenance
from pricetracker_dagster.store.maintenance import Limits, Maintained, maintain
from pricetracker_dagster.store.prices import PriceTable
from pricetracker_dagster.store.store import Store, store_in
from pricetracker_dagster.store.writing import wait_for_tick
from tests.integration.test_store import BTC, MIDNIGHT, row, rows_in, table
from tests.waiting import until

LATE = MIDNIGHT + timedelta(hours=3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path / "data")


def pile_up(store: Store, days: int) -> list[str]:
    """Store five rows of each of some days, a file each; return the days."""
    for minute in range(5):
        store.prices.upsert(table(row(BTC, minute - 1440 * day) for day in range(days)), now=LATE)
    return [f"{MIDNIGHT - day * DAY:%Y-%m-%d}" for day in reversed(range(days))]


def test_what_piled_up_is_joined_in_bounded_steps_newest_days_first(store: Store) -> None:
    days = pile_up(store, 5)
    before, tomorrow = rows_in(store), LATE + DAY
    done = [maintain(store, Limits(days=2), tomorrow) for _ in range(4)]
    assert [each.days for each in done] == [tuple(days[3:]), tuple(days[1:3]), (days[0],), ()]
    assert [each.left for each in done] == [tuple(days[:3]), (days[0],), (), ()]
    assert rows_in(store) == before
    assert len(store.prices.files()) == 5


def test_when_its_time_is_over_the_rest_is_left_for_the_next_hour(store: Store) -> None:
    days = pile_up(store, 3)
    assert maintain(store, Limits(seconds=0), LATE + DAY) == Maintained((), 15, 15, 0, (), (), tuple(days))
    assert maintain(store, now=LATE + DAY).days == tuple(days)


def test_no_day_is_begun_while_a_tick_is_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    days = pile_up(store, 3)
    lock = store.folder.state / StateFile.TICK_LOCK
    begun: list[str] = []
    real = compaction.join

    def join(prices: PriceTable, day: str) -> bool:
        with lock.open("a") as tick:
            fcntl.flock(tick, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a tick would have its turn at once: nobody holds it up
        begun.append(day)
        return real(prices, day)

    monkeypatch.setattr(compaction, "join", join)
    lock.touch()
    waited = threading.Event()

    def wait(*given: Any) -> None:
        waited.set()
        wait_for_tick(*given)

    monkeypatch.setattr(maintenance, "wait_for_tick", wait)
    worker = threading.Thread(target=maintain, args=(store, None, LATE + DAY))
    with lock.open("a") as tick:
        fcntl.flock(tick, fcntl.LOCK_EX)
        worker.start()
        until(waited.is_set, 10, "the maintenance has come to a day")
        assert begun == []
    worker.join(60)
    assert begun == days[::-1]


def test_what_ticks_store_meanwhile_is_neither_lost_nor_doubled(store: Store) -> None:
    pile_up(store, 6)
    before = rows_in(store)
    worker = threading.Thread(target=maintain, args=(store, None, LATE + DAY))
    worker.start()
    added = []
    for minute in range(5, 15):
        added.append(row(BTC, minute))
        store.prices.upsert(table([row(BTC, minute - 1440, price=11.0), added[-1]]), now=LATE)
    worker.join(60)
    extra = [row(BTC, minute - 1440, price=11.0) for minute in range(5, 15)]
    assert sorted(rows_in(store)) == sorted([*before, *added, *extra])


def test_of_today_the_files_of_each_hour_that_is_over_become_one(store: Store) -> None:
    minutes = [hour * 60 + minute for hour in (0, 1, 2) for minute in range(6)]
    for minute in minutes:
        store.prices.upsert(table([row(BTC, minute)]), now=LATE)
    now = MIDNIGHT + timedelta(hours=2, minutes=15)
    before = rows_in(store)
    assert maintain(store, now=now).days == (f"{now:%Y-%m-%d}",)
    assert rows_in(store) == before
    files = store.prices.files()
    assert len(files) == 2 + 6
    assert maintain(store, now=now + 10 * MINUTE).days == ()
    assert store.prices.files() == files
    assert len(store.prices.files(MIDNIGHT + 60 * MINUTE, MIDNIGHT + 119 * MINUTE)) == 1
    maintain(store, now=now + DAY)
    assert len(store.prices.files()) == 1
    assert rows_in(store) == before
