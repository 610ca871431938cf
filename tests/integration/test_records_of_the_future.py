"""What was recorded under a clock that was ahead silences, postpones and repeats nothing once the clock is right."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster.alerts.future_records import correct_future_records
from pricetracker_dagster.alerts.incidents.missed import note_failed_run
from pricetracker_dagster.alerts.watchdog.look import is_explained
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.store.records import RecordTable, Row
from tests.integration.test_watch import BTC, ETH, NOON, Watch, calm
from tests.webhook import Webhook

AHEAD = [timedelta(minutes=7), timedelta(days=800)]


@pytest.fixture(params=AHEAD, ids=str)
def ahead(request: pytest.FixtureRequest) -> timedelta:
    """By how much the clock was ahead."""
    by: timedelta = request.param
    return by


@pytest.fixture
def it(write_settings: Callable[[str], Path], webhook: Webhook) -> Watch:
    """Two metrics watched by the default rule, reminders every fifteen minutes."""
    write_settings(f'metrics = ["{BTC}", "{ETH}"]\n[alerts]\nchannels = ["{webhook.channel()}"]\nrepeat_minutes = 15\n')
    return Watch(load_settings)


def dated(table: RecordTable, by: timedelta, *columns: str) -> None:
    """Date rows as a clock that was ahead had done."""
    rows = table.rows()
    if rows:
        table.open_or_create().delete()
        table.upsert([{**row, **{name: row[name] and row[name] + by for name in columns}} for row in rows])


def under_a_clock_ahead(it: Watch, by: timedelta) -> None:
    """Date everything that is recorded."""
    dated(it.records.deliveries, by, "attempted_at", "retry_at")
    dated(it.records.messages, by, "recorded_at")
    dated(it.records.alerts, by, "fired_at", "resolved_at")
    dated(it.records.incidents, by, "opened_at", "resolved_at")


def moments(it: Watch) -> list[datetime]:
    rows: list[Row] = [*it.alerts(), *it.incidents(), *it.records.deliveries.rows()]
    names = ("fired_at", "opened_at", "resolved_at", "attempted_at")
    return [row[name] for row in rows for name in names if row.get(name)]


def told(webhook: Webhook, begins: str) -> int:
    return sum(line.startswith(begins) for posted in webhook.posted for line in posted.lines)


def goes_on(it: Watch, minutes: Iterable[int], volume: float = 100.0, *metrics: str) -> None:
    for minute in minutes:
        it.put([minute], volume, *(metrics or (BTC,)))
        it.look(minute)


def rises(it: Watch, *looks: int) -> None:
    """Let each minute be above, and look now and then."""
    last, volume = 0, 1000.0
    for minute in looks:
        volume *= 3
        it.put(range(last + 1, minute + 1), volume)
        it.look(minute)
        last = minute


def test_an_alert_of_then_is_reminded_of_at_the_usual_pace(it: Watch, webhook: Webhook, ahead: timedelta) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    under_a_clock_ahead(it, ahead)
    rises(it, 1, 8, 14, 17, 25, 29, 32)
    assert told(webhook, f"▲ {BTC} volume 1000") == 1  # it is not said again
    assert told(webhook, f"▲ {BTC} volume still fires") == 2  # after 15 minutes and after 30
    assert all(moment <= NOON + 34 * MINUTE for moment in moments(it))


@pytest.mark.parametrize("minutes", [pytest.param(20, marks=pytest.mark.long), 50])
def test_reminders_that_a_clock_ahead_has_used_up_are_given_all_the_same(
    it: Watch, webhook: Webhook, minutes: int
) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    it.look(minutes)  # by the clock that is ahead
    assert told(webhook, f"▲ {BTC} volume still fires") == 1
    rises(it, 7, 14, 16, 23, 29, 31, 38, 44, 46, 53, 59)
    assert told(webhook, f"▲ {BTC} volume still fires") == 4  # and after 15, 30 and 45 minutes


def test_what_a_channel_did_not_take_then_is_tried_again_within_minutes(
    it: Watch, webhook: Webhook, ahead: timedelta
) -> None:
    calm(it)
    webhook.behaviour["/"] = "500"
    goes_on(it, [0], 1000.0)
    under_a_clock_ahead(it, ahead)
    webhook.behaviour["/"] = "ok"
    before = len(webhook.posted)
    goes_on(it, range(1, 7))
    assert len(webhook.posted) > before
    assert any(row["event"] == "firing" and row["delivered"] for row in it.records.deliveries.rows())


def test_an_end_that_was_told_then_is_not_missing_again_for_days(it: Watch, webhook: Webhook, ahead: timedelta) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    goes_on(it, range(1, 7))
    under_a_clock_ahead(it, ahead)
    assert told(webhook, "✓") == 1
    for hours in (1, 25, 49, 73, 90):
        it.look(6, seconds=hours * 3600)
    assert told(webhook, f"▲ {BTC} volume 1000") == 1
    assert told(webhook, "✓") == 1


def test_an_outage_that_was_recorded_then_is_told_once_and_its_end_when_it_is_over(
    it: Watch, webhook: Webhook, ahead: timedelta
) -> None:
    it.put(range(-60, 0), 100.0, BTC, ETH)
    it.look_at_minutes(0)
    it.fail(0, [BTC, ETH])
    it.look_at_minutes(1)
    under_a_clock_ahead(it, ahead)
    it.look_at_minutes(2)
    it.put(range(6), 100.0, BTC, ETH)
    it.look_at_minutes(6)
    assert told(webhook, "✗ missed") == 1
    assert told(webhook, "✓ over, all minutes are stored: ") == 1


@pytest.mark.parametrize(
    "clock",
    [timedelta(minutes=20), pytest.param(timedelta(hours=1), marks=pytest.mark.long), timedelta(hours=5)],
    ids=str,
)
def test_minutes_that_only_a_wrong_clock_has_seen_are_no_outage_and_hide_none(
    it: Watch, webhook: Webhook, clock: timedelta
) -> None:
    it.put(range(-60, 0), 100.0, BTC, ETH)
    it.look_at_minutes(0)
    failed = int(clock / MINUTE) - 1
    it.fail(failed, [BTC, ETH])  # KRAKEN's clock says that the minute is not over
    it.look_at_minutes(failed + 1)  # by the clock that is ahead
    assert [row["state"] for row in it.incidents()] != []
    it.look_at_minutes(0, seconds=50)  # by the right one
    assert not it.records.causes.rows(NOON)
    assert {row["state"] for row in it.incidents()} == {"resolved"}
    assert not any("for good" in line or "stay missing" in line for each in webhook.posted for line in each.lines)
    # that very minute is missed indeed, when it comes
    before = told(webhook, "✗ missed")
    it.put(range(failed), 100.0, BTC, ETH)
    it.fail(failed, [BTC, ETH])
    it.look_at_minutes(failed + 1)
    assert [row["first"] for row in it.incidents() if row["state"] == "open"] == [NOON + failed * MINUTE]
    assert told(webhook, "✗ missed") == before + 1


def test_the_failure_of_a_run_for_a_minute_that_is_yet_to_come_is_no_outage(it: Watch, webhook: Webhook) -> None:
    it.put(range(-60, 0), 100.0, BTC, ETH)
    it.look_at_minutes(0)
    note_failed_run(it.settings, NOON + 60 * MINUTE, "the run of its tick failed: killed")
    it.look_at_minutes(0, seconds=20)
    assert (it.incidents(), it.records.causes.rows()) == ([], [])
    assert not webhook.posted


@pytest.mark.parametrize("state", ["firing", "pending"])
def test_an_alert_of_a_minute_that_is_yet_to_come_ends(
    it: Watch, webhook: Webhook, state: str, ahead: timedelta
) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    [alert] = it.alerts()
    later = {name: alert[name] + ahead for name in ("minute", "last_minute", "peak_minute", "fired_at")}
    it.records.alerts.upsert([{**alert, **later, "id": "an earlier version's", "state": state}])
    it.look(1)
    [row] = [row for row in it.alerts() if row["id"] == "an earlier version's"]
    assert (row["state"], row["ended_because"]) == ("resolved", "no data")


@pytest.mark.parametrize("minutes", [[30], [30, 31, 32], range(60, 600, 30)])
def test_stored_rows_of_the_future_raise_no_alert(it: Watch, webhook: Webhook, minutes: Iterable[int]) -> None:
    calm(it)
    rows = [(BTC, int((NOON + minute * MINUTE).timestamp()), 10.0, 10.0, 10.0, 10.0, 9000.0, 1) for minute in minutes]
    it.store.prices.upsert(validate_rows(rows, NOON).kept, now=NOON + timedelta(days=2))  # as an earlier version did
    goes_on(it, [0])
    assert (it.alerts(), webhook.posted) == ([], [])


@pytest.mark.parametrize("hours", [1, 24, 24 * 400])
def test_an_incident_of_the_future_covers_no_standstill(it: Watch, hours: int) -> None:
    row = {"state": "open", "cause": "exchange error", "last": NOON}
    assert is_explained([row], it.settings, NOON + MINUTE)
    assert not is_explained([{**row, "last": NOON + timedelta(hours=hours)}], it.settings, NOON)


def test_what_lies_in_the_past_is_left_as_it_is(it: Watch) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    goes_on(it, range(1, 7))
    it.fail(2, [ETH])
    it.look_at_minutes(7)
    written = [table for table in it.records if table.open() is not None]
    versions = [table.open().version() for table in written]  # type: ignore[union-attr]
    assert correct_future_records(it.records, NOON + 9 * MINUTE) == 0
    assert [table.open().version() for table in written] == versions  # type: ignore[union-attr]


def test_moments_of_the_future_keep_their_order(it: Watch, ahead: timedelta) -> None:
    calm(it)
    goes_on(it, [0], 1000.0)
    goes_on(it, range(1, 7))
    before = sorted(moments(it))
    under_a_clock_ahead(it, ahead)
    correct_future_records(it.records, NOON - MINUTE)  # all of them lay after it
    after = sorted(moments(it))
    assert after[-1] == NOON - MINUTE
    assert len(after) == len(before)
    [alert] = it.alerts()
    firing, resolved = it.records.deliveries.rows()
    assert alert["fired_at"] <= firing["attempted_at"] < alert["resolved_at"] <= resolved["attempted_at"]
