"""After the clock went back, a minute that was missed under the wrong clock can be missed once more, and is told."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.alerts.watch import watch_minutes
from pricetracker_dagster.candles.minutes import MINUTE, minutes_between, newest_closed_minute
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench
from tests.webhook import Webhook

BTC = "KRAKEN:BTCUSD"
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


def put(settings: Settings, minutes: Iterable[datetime]) -> None:
    rows = [(BTC, int(minute.timestamp()), 10, 10, 10, 10, 1, 1) for minute in minutes]
    open_store(settings).prices.upsert(validate_rows(rows, NOON).kept)


def fail(settings: Settings, minute: datetime) -> None:
    """Note what a tick for a minute notes that could store nothing."""
    noted = {"minute": minute, "cause": "exchange error", "reason": "HTTP 502", "noted_at": minute + MINUTE}
    open_store(settings).records.causes.upsert([{"metric": BTC, **noted}])


def look(settings: Settings, minute: datetime) -> None:
    watch_minutes(settings, minute + timedelta(seconds=63))


def incidents(settings: Settings) -> list[Row]:
    return open_store(settings).records.incidents.rows()


@pytest.fixture
def settings(write_settings: Callable[[str], Path], webhook: Webhook) -> Settings:
    write_settings(f'metrics = ["{BTC}"]\n[alerts]\nchannels = ["{webhook.channel()}"]\n')
    settings = load_settings()
    put(settings, minutes_between(NOON - timedelta(hours=24), NOON))
    look(settings, NOON)
    return settings


@pytest.mark.parametrize(("ahead", "steps"), [(timedelta(minutes=4), 1), (timedelta(days=3), 2)])
def test_a_minute_that_was_missed_under_a_wrong_clock_is_missing_again_when_it_is_missed_indeed(
    settings: Settings, webhook: Webhook, ahead: timedelta, steps: int
) -> None:
    there = NOON + ahead
    for _ in range(steps):
        fail(settings, there)
        look(settings, there)  # the clock is ahead
        look(settings, NOON)  # and right again
    assert {row["state"] for row in incidents(settings)} == {"resolved"}
    put(settings, minutes_between(NOON + MINUTE, there - MINUTE))
    told = len(webhook.posted)
    fail(settings, there)
    look(settings, there)
    [one] = [row for row in incidents(settings) if row["state"] == "open"]
    assert (one["cause"], one["first"], one["last"]) == ("exchange error", there, there)
    assert len(webhook.posted) == told + 1
    put(settings, minutes_between(there, there + 5 * MINUTE))
    look(settings, there + 5 * MINUTE)
    assert [row["id"] for row in incidents(settings) if row["state"] == "open"] == []
    assert max(Counter(row["id"] for row in incidents(settings)).values()) == 1


def test_a_minute_that_was_healed_and_is_gone_again_is_missing_again(settings: Settings) -> None:
    fail(settings, NOON + MINUTE)
    look(settings, NOON + MINUTE)
    put(settings, minutes_between(NOON + MINUTE, NOON + 6 * MINUTE))
    look(settings, NOON + 6 * MINUTE)
    assert [(row["state"], row["missing"]) for row in incidents(settings)] == [("resolved", 0)]
    for count in (2, 3):
        store = open_store(settings).prices.open()
        assert store is not None
        store.delete(f"minute = arrow_cast({int((NOON + MINUTE).timestamp()) * 1_000_000}, 'Timestamp(us, \"UTC\")')")
        for _ in range(2):
            look(settings, NOON + 6 * MINUTE)
            by_id = sorted(incidents(settings), key=lambda row: row["id"])
            states = [(row["state"], row["missing"]) for row in by_id]
            assert states == [*[("resolved", 0)] * (count - 1), ("resolved", 1)]  # those after it are there: it is over
        put(settings, [NOON + MINUTE])
        look(settings, NOON + 6 * MINUTE)
        assert [row["missing"] for row in incidents(settings)] == [0] * count
    assert len({row["id"] for row in incidents(settings)}) == 3


def test_a_folder_in_which_an_incident_stands_twice_goes_on(settings: Settings) -> None:
    fail(settings, NOON + MINUTE)
    look(settings, NOON + MINUTE)
    [row] = incidents(settings)
    later = {**row, "opened_at": row["opened_at"] + timedelta(hours=2)}
    open_store(settings).records.incidents.upsert([later])  # as an earlier version did after the clock went back
    assert [each["id"] for each in incidents(settings)] == [row["id"]] * 2
    put(settings, minutes_between(NOON + MINUTE, NOON + 6 * MINUTE))
    look(settings, NOON + 6 * MINUTE)
    assert [each["state"] for each in incidents(settings)] == ["resolved", "resolved"]
    fail(settings, NOON + 7 * MINUTE)
    look(settings, NOON + 7 * MINUTE)
    assert [each["first"] for each in incidents(settings) if each["state"] == "open"] == [NOON + 7 * MINUTE]


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(hours=2), timedelta(days=3)])
def test_a_stillness_that_a_tick_heals_by_a_clock_that_is_ahead_is_told_by_the_right_one(
    start: Callable[..., Bench], ahead: timedelta
) -> None:
    bench = start("BTCUSD", extra="[collect]\nbudget_seconds = 5\n")
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    still = bench.minute + MINUTE
    bench.now += 30 * MINUTE
    there = bench.now + ahead
    collect_minute(bench.settings, newest_closed_minute(there), now=lambda: there)
    bench.now += MINUTE
    collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
    watch_minutes(bench.settings, bench.now)
    spans = [(row["first"], row["last"]) for row in incidents(bench.settings) if row["cause"] == "not run"]
    assert any(first <= still and last >= still + 20 * MINUTE for first, last in spans)


def test_a_channel_on_this_machine_is_reached_whatever_proxy_the_environment_names(
    settings: Settings, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fail(settings, NOON + MINUTE)
    look(settings, NOON + MINUTE)
    assert len(webhook.posted) == 1
