"""An alert that late data reopens ends a second time, and that is told too: once, and nothing told already again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import load_settings
from tests.integration.test_watch import NOON, SOON, Watch, calm
from tests.webhook import Webhook


@pytest.fixture
def it(write_settings: Callable[[str], Path], webhook: Webhook) -> Watch:
    """A metric watched by the default rule: five minutes below, and an alert is over."""
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nchannels = ["{webhook.channel()}"]\nrepeat_minutes = 0')
    return Watch(load_settings)


def minute_by_minute(it: Watch, first: int, last: int, volume: float = 100.0) -> None:
    for minute in range(first, last + 1):
        it.put([minute], volume)
        it.look(minute)
        it.look(minute, seconds=70)  # twice, as sensors may


def ended_once(it: Watch) -> None:
    calm(it)
    it.put([0], 400.0)
    it.look(0)
    minute_by_minute(it, 1, 6)


def ends(webhook: Webhook, path: str = "/") -> list[str]:
    return [line for posted in webhook.to(path) for line in posted.lines if line.startswith("✓")]


def events(it: Watch) -> list[str]:
    return [row["event"] for row in it.records.deliveries.rows()]


def test_the_second_end_is_told_and_says_how_long_it_lasted_in_all(it: Watch, webhook: Webhook) -> None:
    ended_once(it)
    assert [line.split(", peak")[0] for line in ends(webhook)] == [
        "✓ KRAKEN:BTCUSD volume below again: it lasted 1 minute from 2026-03-03 12:00 UTC"
    ]
    it.put([4], 500.0)  # the exchange corrects a minute
    it.look(7)
    assert [row["state"] for row in it.alerts()] == ["firing"]
    minute_by_minute(it, 7, 12)
    assert [row["state"] for row in it.alerts()] == ["resolved"]
    assert [line.split(", peak")[0] for line in ends(webhook)][1:] == [
        "✓ KRAKEN:BTCUSD volume below again: it lasted 5 minutes from 2026-03-03 12:00 UTC"
    ]
    assert webhook.posted[-1].kind == "success"
    assert events(it) == ["firing", "resolved", "firing 2", "resolved 2"]


@pytest.mark.long
def test_every_further_end_is_told_once(it: Watch, webhook: Webhook) -> None:
    ended_once(it)
    for corrected in (4, 9):
        it.put([corrected], 1000.0 + corrected)
        minute_by_minute(it, corrected + 3, corrected + 7)
    minute_by_minute(it, 17, 21)
    assert events(it) == ["firing", "resolved", "firing 2", "resolved 2", "firing 3", "resolved 3"]
    assert len(ends(webhook)) == 3


@pytest.mark.long
def test_an_end_that_the_channel_does_not_take_is_tried_again_as_the_same(it: Watch, webhook: Webhook) -> None:
    ended_once(it)
    webhook.behaviour["/"] = "500"
    it.put([4], 500.0)
    minute_by_minute(it, 7, 9)
    assert it.records.deliveries.rows()[-1]["delivered"] is False
    webhook.behaviour["/"] = "ok"
    minute_by_minute(it, 10, 14)
    told = [(row["event"], row["delivered"]) for row in it.records.deliveries.rows()]
    assert told[:2] == [("firing", True), ("resolved", True)]
    assert {event for event, _ in told[2:]} == {"firing 2", "resolved 2"}
    assert [event for event, delivered in told[2:] if delivered] == ["firing 2", "resolved 2"]


def test_a_channel_that_is_new_is_told_the_end_that_it_lives_to_see(
    it: Watch, webhook: Webhook, write_settings: Callable[[str], Path]
) -> None:
    ended_once(it)
    it.put([4], 500.0)
    it.look(7)
    channels = f'"{webhook.channel()}", "{webhook.channel("/new")}"'
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nchannels = [{channels}]\nrepeat_minutes = 0')
    minute_by_minute(it, 7, 12)
    assert len(ends(webhook)) == 2
    assert len(ends(webhook, "/new")) == 1


@pytest.mark.parametrize("ahead", [pytest.param(1, marks=pytest.mark.long), 600])
def test_an_end_recorded_by_a_clock_that_was_ahead_is_not_told_for_ever(
    it: Watch, webhook: Webhook, ahead: int
) -> None:
    ended_once(it)
    [alert] = it.alerts()
    it.records.alerts.upsert([{**alert, "resolved_at": NOON + (7 + ahead) * MINUTE + SOON}])
    minute_by_minute(it, 7, 12)
    assert len(ends(webhook)) <= 2
    before = len(ends(webhook))
    minute_by_minute(it, 13, 16)
    assert len(ends(webhook)) == before
