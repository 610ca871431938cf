"""What cannot be recorded is told to whom it would be told if it could: by the routes, as anything without a metric."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts.watchdog import unrecorded
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import Settings, load_settings
from tests.webhook import Webhook

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BEGUN, OVER = "✗ no alarms", "✓ alarms again"

Set = Callable[..., Settings]


@pytest.fixture
def set_up(write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Set:
    monkeypatch.setattr(unrecorded, "unwritten", {})

    def of(*routes: dict[str, Any], channels: tuple[str, ...] = ()) -> Settings:
        write_settings('metrics = ["KRAKEN:BTCUSD"]')
        monkeypatch.setenv("PRICETRACKER_ALERTS", json.dumps({"channels": channels, "routes": routes}))
        settings = load_settings()
        settings.state.mkdir(parents=True, exist_ok=True)
        return settings

    return of


def tell(settings: Settings, minute: float) -> list[str]:
    return unrecorded.notify(settings, NOON + minute * MINUTE, "the disk is full", "watch")


def tell_end(settings: Settings, minute: float) -> list[str]:
    return unrecorded.notify_end(settings, NOON + minute * MINUTE, lambda _: True)


def titles(webhook: Webhook) -> dict[str, list[str]]:
    paths = dict.fromkeys(posted.path for posted in webhook.posted)
    return {path: [posted.title for posted in webhook.to(path)] for path in paths}


def test_what_is_wrong_is_quoted_as_text_from_elsewhere_is(set_up: Set, webhook: Webhook) -> None:
    said = "\x1b[31mno\nroom \u202e<!channel> @everyone" + " x" * 1000
    unrecorded.notify(set_up(channels=(webhook.channel(),)), NOON, said, "watch")
    [[line]] = [posted.lines for posted in webhook.posted]
    beginning = "✗ alarms can neither be recorded nor sent as usual: "
    assert line.startswith(f"{beginning}[31mno room channel everyone x x")
    assert len(line) <= len(beginning) + 500


def test_where_only_routes_name_channels_these_are_told_it_and_its_end(set_up: Set, webhook: Webhook) -> None:
    for_one_metric = {"match": {"metrics": ["KRAKEN:BTC*"]}, "channels": [webhook.channel("/a")]}
    settings = set_up(for_one_metric, {"match": {"kind": "alert"}, "channels": [webhook.channel("/b")]})
    for minute in (0, 1):
        assert tell(settings, minute) == []
    assert tell_end(settings, 2) == []
    assert titles(webhook) == {"/a": [BEGUN, OVER], "/b": [BEGUN, OVER]}
    assert not unrecorded.is_notified(settings)


def test_a_route_that_matches_what_has_no_metric_says_who_and_how_often(set_up: Set, webhook: Webhook) -> None:
    operators = {"match": {"kind": "incident"}, "channels": [webhook.channel("/ops")], "repeat_minutes": 5}
    settings = set_up(operators, channels=(webhook.channel("/all"),))
    for minute in range(12):
        tell(settings, minute)
    tell_end(settings, 12)
    assert titles(webhook) == {"/ops": [BEGUN] * 3 + [OVER]}


def test_in_its_quiet_hours_a_channel_is_told_nothing_and_after_them_what_still_is_so(
    set_up: Set, webhook: Webhook
) -> None:
    quiet = {"from": "12:05", "to": "14:00", "time_zone": "UTC"}
    settings = set_up(
        {"channels": [webhook.channel("/sleeps")], "quiet_hours": quiet}, {"channels": [webhook.channel("/wakes")]}
    )
    tell(settings, 6)
    assert titles(webhook) == {"/wakes": [BEGUN]}
    tell(settings, 121)
    assert titles(webhook) == {"/wakes": [BEGUN] * 2, "/sleeps": [BEGUN]}


def test_an_end_within_quiet_hours_is_told_after_them(set_up: Set, webhook: Webhook) -> None:
    quiet = {"from": "12:05", "to": "14:00", "time_zone": "UTC"}
    settings = set_up({"channels": [webhook.channel("/sleeps")], "quiet_hours": quiet})
    tell(settings, 0)
    for minute in (6, 60, 119, 120, 121):
        tell_end(settings, minute)
        assert titles(webhook)["/sleeps"] == ([BEGUN] if minute < 120 else [BEGUN, OVER])
    assert not unrecorded.is_notified(settings)
