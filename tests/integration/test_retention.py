"""What is removed because it is old: whole days of minute prices once they were announced, records that are over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.candles.minutes import DAY, MINUTE, MinuteRange
from pricetracker_dagster.collect.backfill import backfill
from pricetracker_dagster.collect.context import Context
from pricetracker_dagster.collect.result import Collected
from pricetracker_dagster.collect.turns import Turns
from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.coverage import missing
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.retention import NOTICE, remove_old_prices, remove_old_records
from pricetracker_dagster.store.store import Store, open_store
from tests.integration.conftest import Bench
from tests.integration.test_store import BTC, MIDNIGHT, row, rows_in, table

NOW = MIDNIGHT + 9 * MINUTE
KEEP_TWO = 'metrics = ["KRAKEN:BTCUSD"]\nkeep_days = 2\n'

Write = Callable[[str], Path]


@pytest.fixture
def settings(write_settings: Write) -> Settings:
    write_settings(KEEP_TWO)
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> Store:
    """Five days with a row each, the last of them today's."""
    store = open_store(settings)
    store.prices.upsert(table(row(BTC, 1 - 1440 * days) for days in range(5)), now=NOW)
    return store


def test_prices_older_than_keep_days_are_announced_and_removed_a_day_later(store: Store, settings: Settings) -> None:
    before = rows_in(store)
    announced = remove_old_prices(store, settings, NOW)
    assert str(announced) == (
        "keep_days: minute prices of 2026-02-28 to 2026-03-01, 2 rows in 2 days, "
        "will be removed after 2026-03-05 00:09 UTC; set keep_days to 0 to keep them"
    )
    remove_old_prices(store, settings, NOW + NOTICE - MINUTE)
    assert rows_in(store) == before
    removed = remove_old_prices(store, settings, NOW + NOTICE)
    # it is the 5th by the clock, and the 4th by what is stored: a clock may be wrong
    assert str(removed) == "keep_days: removed minute prices of 2026-02-28 to 2026-03-01, 2 rows in 2 days"
    assert rows_in(store) == before[2:]
    assert remove_old_prices(store, settings, NOW + NOTICE) is None


def test_what_an_open_reader_has_stays_on_disk_when_prices_are_removed(store: Store, settings: Settings) -> None:
    files = store.prices.files()
    remove_old_prices(store, settings, NOW)
    assert remove_old_prices(store, settings, NOW + NOTICE) is not None
    maintain(store)
    assert len(store.prices.files()) < len(files)
    assert all(Path(file).exists() for file in files)


def test_a_lower_keep_days_is_announced_anew(store: Store, settings: Settings, write_settings: Write) -> None:
    more = settings.model_copy(update={"keep_days": 3})
    remove_old_prices(store, more, NOW)
    assert remove_old_prices(store, settings, NOW + NOTICE) is not None
    assert len(rows_in(store)) == 5


def test_nothing_is_removed_unasked_nor_by_a_clock_that_is_years_ahead(store: Store, settings: Settings) -> None:
    for now in (NOW, NOW + 2 * NOTICE):
        assert remove_old_prices(store, settings.model_copy(update={"keep_days": 0}), now) is None
    ahead = NOW + 800 * DAY
    remove_old_prices(store, settings, ahead)
    remove_old_prices(store, settings, ahead + NOTICE)
    assert [each[1] for each in rows_in(store)] == [MIDNIGHT + MINUTE - days * DAY for days in (2, 1, 0)]


def test_what_is_removed_is_no_gap_to_a_tick(store: Store, settings: Settings) -> None:
    remove_old_prices(store, settings, NOW)
    remove_old_prices(store, settings, NOW + NOTICE)
    collected = Collected.of(settings, NOW)
    turns = Turns(settings.state, collected.metrics, NOW)
    tick = Context(settings, store, collected, turns, Deadline.after(9), lambda: NOW)
    since = {BTC: NOW - 5 * DAY}
    first_kept = MIDNIGHT - 2 * DAY
    gaps = missing(store.prices, since, tick.horizon, MIDNIGHT)[BTC]
    assert gaps[0] == MinuteRange(first_kept, first_kept)  # the stored minute is the second one of the day
    unlimited = settings.model_copy(update={"keep_days": 0})
    assert replace(tick, settings=unlimited).horizon == NOW - 7 * DAY


def test_a_backfill_asks_for_nothing_that_would_be_removed_again(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD", extra="keep_days = 2\n")
    since = bench.settings.kept_since(datetime.now(UTC))
    assert since is not None
    with pytest.raises(PricetrackerError, match=r"keep_days = 2 keeps no prices before .*raise it or set it to 0"):
        backfill(bench.settings, since - DAY, since - MINUTE)
    assert bench.settings.kept_since(bench.now) == datetime(2026, 3, 1, tzinfo=UTC)


def fact(at: datetime, *, over: bool, **more: Any) -> dict[str, Any]:
    state = {"state": "resolved", "resolved_at": at} if over else {"state": "open", "resolved_at": None}
    return {"id": f"{at:%y-%m-%d} {over}", **state, **more}


def test_what_is_over_is_forgotten_with_its_messages_and_what_is_open_is_kept_for_good(
    store: Store, settings: Settings
) -> None:
    records, old, new = store.records, NOW - 366 * DAY, NOW - 364 * DAY
    for minute in (old, new):
        for over in (True, False):
            alert = fact(minute, over=over, minute=minute, last_minute=minute)
            records.alerts.upsert([alert])
            records.incidents.upsert([fact(minute, over=over, first=minute, last=minute, opened_at=minute)])
            records.messages.upsert([{"id": f"{alert['id']} 1", "fact": alert["id"], "recorded_at": minute}])
            sent = {"event": "firing", "channel": "c", "attempt": 1, "attempted_at": minute}
            records.deliveries.upsert([{"id": alert["id"], **sent}])
            records.acknowledgements.upsert([{"fact": alert["id"], "made_at": minute}])
        noted = {"metric": BTC, "cause": "not run", "noted_at": minute}
        records.causes.upsert([{"minute": minute, **noted}])
    records.causes.upsert([{"metric": BTC, "minute": NOW - 29 * DAY, "cause": "not run", "noted_at": NOW}])
    removed = remove_old_records(store, settings, NOW)
    once = dict.fromkeys(("alerts", "incidents", "messages", "deliveries", "acknowledgements"), 1)
    assert removed == {**once, "causes": 2}
    left = {f"{old:%y-%m-%d} False", f"{new:%y-%m-%d} False", f"{new:%y-%m-%d} True"}
    assert {each["id"] for each in records.alerts.rows()} == left
    assert {each["id"] for each in records.incidents.rows()} == left
    assert {each["fact"] for each in records.messages.rows()} == left
    assert {each["id"] for each in records.deliveries.rows()} == left
    assert {each["fact"] for each in records.acknowledgements.rows()} == left
    versions = [each.version() for each in (records.alerts.load(), records.messages.load())]
    assert remove_old_records(store, settings, NOW) == {}
    assert versions == [each.version() for each in (records.alerts.load(), records.messages.load())]


def test_what_a_correction_may_still_change_is_kept_however_short_alerts_keep_days_is(
    store: Store, settings: Settings
) -> None:
    day = settings.model_copy(update={"alerts": settings.alerts.model_copy(update={"keep_days": 1})})
    minute = NOW - timedelta(days=settings.collect.heal_days + 2) + MINUTE
    store.records.alerts.upsert([fact(minute, over=True, minute=minute, last_minute=minute)])
    assert remove_old_records(store, day, NOW) == {}
    assert remove_old_records(store, day, NOW + 2 * MINUTE) == {"alerts": 1}
