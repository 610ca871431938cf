"""Who is told: which routes match, what several of them say of one channel, and when it is quiet."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pricetracker_dagster.alerts.messages.routing import Recipient, Subject, is_quiet, quiet_until, recipients, urls
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import QuietHours, Settings, channel_name, load_settings
from pricetracker_dagster.store.records import Row

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
A, B, C, D = (f"json://{name}.example" for name in "abcd")
NAMES = {channel_name(url): url for url in (A, B, C, D)}

Set = Callable[..., Settings]


@pytest.fixture
def set_up(write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Set:
    """Settings of some channels and routes."""

    def of(*routes: dict[str, Any], channels: tuple[str, ...] = (A, B), top: str = "", **alerts: Any) -> Settings:
        write_settings(f'{top}metrics = ["KRAKEN:BTCUSD"]')
        rules = [{"name": "spike"}, {"name": "burst"}]
        told = {"channels": channels, "routes": routes, "rules": rules, **alerts}
        monkeypatch.setenv("PRICETRACKER_ALERTS", json.dumps(told))
        return load_settings()

    return of


def alert(metric: str = "KRAKEN:BTCUSD", rule: str = "spike", measure: str = "volume") -> Row:
    return {"id": "x", "metric": metric, "rule": rule, "measure": measure}


def incident(*out: str, metrics: tuple[str, ...] = ()) -> Row:
    return {"id": "x", "out": list(out) or None, "metrics": list(metrics or out)}


def told(settings: Settings, row: Row, subject: Subject) -> set[str]:
    """The URLs of who is told."""
    return {NAMES[each.channel] for each in recipients(settings, row, subject, NOON)}


def test_without_routes_every_channel_is_told_everything(set_up: Set) -> None:
    settings = set_up(repeat_minutes=7)
    everybody = [Recipient(channel_name(url), 7) for url in (A, B)]
    assert recipients(settings, alert(), "alert", NOON) == everybody
    assert recipients(settings, incident(), "incident", NOON) == everybody
    assert recipients(set_up(channels=()), alert(), "alert", NOON) == []


@pytest.mark.parametrize(
    ("match", "row", "subject", "matches"),
    [
        ({}, alert(), "alert", True),
        ({}, incident(), "incident", True),
        ({"kind": "alert"}, alert(), "alert", True),
        ({"kind": "alert"}, incident("KRAKEN:BTCUSD"), "incident", False),
        ({"kind": "incident"}, alert(), "alert", False),
        ({"kind": "incident"}, incident(), "incident", True),
        ({"metrics": ["KRAKEN:*"]}, alert(), "alert", True),
        ({"metrics": ["KRAKEN:ETH*"]}, alert(), "alert", False),
        ({"metrics": ["KRAKEN:ETH*", "*:BTCUSD"]}, alert(), "alert", True),
        ({"metrics": ["KRAKEN:BTCUS?"]}, alert(), "alert", True),
        ({"metrics": ["KRAKEN:BTCUS"]}, alert(), "alert", False),
        ({"rules": ["spike"]}, alert(), "alert", True),
        ({"rules": ["burst"]}, alert(), "alert", False),
        ({"measures": ["volume"]}, alert(), "alert", True),
        ({"measures": ["price"]}, alert(), "alert", False),
        ({"metrics": ["KRAKEN:*"], "rules": ["spike"], "measures": ["price"]}, alert(), "alert", False),
        ({"metrics": ["KRAKEN:*"], "rules": ["spike"], "measures": ["volume"]}, alert(), "alert", True),
        # any one of the metrics that are out now; of those that were, where none is any more
        ({"metrics": ["KRAKEN:ETH*"]}, incident("KRAKEN:BTCUSD", "KRAKEN:ETHUSD"), "incident", True),
        ({"metrics": ["KRAKEN:ETH*"]}, incident("KRAKEN:BTCUSD", metrics=("KRAKEN:ETHUSD",)), "incident", False),
        ({"metrics": ["KRAKEN:ETH*"]}, incident(metrics=("KRAKEN:ETHUSD",)), "incident", True),
        # what stands still has no metric; no incident has a rule
        ({"metrics": ["*"]}, incident(), "incident", False),
        ({"metrics": ["*"], "kind": "incident"}, incident(), "incident", False),
        ({"rules": ["spike"]}, incident("KRAKEN:BTCUSD"), "incident", False),
        ({"measures": ["volume"]}, incident("KRAKEN:BTCUSD"), "incident", False),
    ],
)
def test_a_route_is_for_that_of_which_all_that_it_names_is_true(
    set_up: Set, match: dict[str, Any], row: Row, subject: Subject, *, matches: bool
) -> None:
    settings = set_up({"match": match, "channels": [C]})
    assert told(settings, row, subject) == ({C} if matches else {A, B})


def test_every_route_that_matches_is_told_and_a_channel_once(set_up: Set) -> None:
    settings = set_up(
        {"channels": [C, channel_name(A)]},
        {"match": {"kind": "alert"}, "channels": [A, D]},
        {"match": {"kind": "incident"}, "channels": [B]},
    )
    assert [NAMES[each.channel] for each in recipients(settings, alert(), "alert", NOON)] == [C, A, D]


def test_what_no_route_matches_goes_to_every_channel_and_never_to_nobody(set_up: Set) -> None:
    routes = (
        {
            "match": {"kind": "incident"},
            "channels": [C],
            "repeat_minutes": 5,
            "escalate_after_minutes": 1,
            "escalate_to": [D],
        },
        {"match": {"rules": ["burst"]}, "channels": [B]},
    )
    assert told(set_up(*routes, channels=(A,)), alert(), "alert") == {A}
    without = set_up(*routes, channels=())
    assert recipients(without, alert(), "alert", NOON) == [Recipient(channel_name(url), 60) for url in (C, B)]


def test_every_url_that_can_be_told_has_its_name(set_up: Set) -> None:
    routes = {"channels": [C, channel_name(B)], "escalate_after_minutes": 1, "escalate_to": [D, channel_name(C), A]}
    assert urls(set_up(routes)) == {channel_name(url): url for url in (A, B, C, D)}
    assert urls(set_up(channels=())) == {}


def test_on_the_simulator_routes_are_for_the_simulated_counterparts(set_up: Set) -> None:
    settings = set_up({"match": {"metrics": ["KRAKEN:BTC*"]}, "channels": [C]}, top="simulated = true\n")
    assert told(settings, alert("SIMULATED:BTCUSD"), "alert") == {C}
    assert told(settings, alert("SIMULATED:ETHUSD"), "alert") == {A, B}


QUIET = {"from": "11:00", "to": "13:00", "time_zone": "UTC"}
QUIET_LONGER = {"from": "11:00", "to": "14:00", "time_zone": "UTC"}
LOUD = {"from": "22:00", "to": "07:00", "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{}], Recipient("", 60)),
        ([{"repeat_minutes": 30}, {"repeat_minutes": 10}], Recipient("", 10)),
        ([{"repeat_minutes": 90}, {}], Recipient("", 60)),
        ([{"repeat_minutes": 0}, {"repeat_minutes": 90}], Recipient("", 90)),  # 0 is never
        ([{"repeat_minutes": 0}], Recipient("", 0)),
        ([{"quiet_hours": QUIET}], Recipient("", 60, quiet_until=NOON + timedelta(hours=1))),
        ([{"quiet_hours": LOUD}], Recipient("", 60)),
        ([{"quiet_hours": QUIET}, {}], Recipient("", 60)),
        ([{"quiet_hours": QUIET}, {"quiet_hours": LOUD}], Recipient("", 60)),
        (
            [{"quiet_hours": QUIET_LONGER}, {"quiet_hours": QUIET}],
            Recipient("", 60, quiet_until=NOON + timedelta(hours=1)),
        ),
        (
            [{"escalate_after_minutes": 15, "escalate_to": [D]}],
            Recipient("", 60, escalations={channel_name(D): 15}),
        ),
        (
            [{"escalate_after_minutes": 15, "escalate_to": [D]}, {"escalate_after_minutes": 5, "escalate_to": [B, D]}],
            Recipient("", 60, escalations={channel_name(D): 5, channel_name(B): 5}),
        ),
        (  # each route at its own time
            [{"escalate_after_minutes": 5, "escalate_to": [B]}, {"escalate_after_minutes": 15, "escalate_to": [D]}, {}],
            Recipient("", 60, escalations={channel_name(B): 5, channel_name(D): 15}),
        ),
    ],
)
def test_what_several_routes_say_of_one_channel(set_up: Set, routes: list[dict[str, Any]], expected: Recipient) -> None:
    settings = set_up(*({"channels": [C], **route} for route in routes))
    [found] = recipients(settings, alert(), "alert", NOON)
    assert found == replace(expected, channel=channel_name(C))


@pytest.mark.parametrize(
    ("routes", "quiet"),
    [
        ([], False),
        ([{"quiet_hours": QUIET}], True),
        ([{"quiet_hours": LOUD}], False),
        ([{"quiet_hours": QUIET}, {"quiet_hours": QUIET_LONGER, "match": {"rules": ["burst"]}}], True),
        ([{"quiet_hours": QUIET}, {"match": {"rules": ["burst"]}}], False),
        ([{"quiet_hours": QUIET}, {"channels": [D]}], True),
    ],
)
def test_what_no_route_is_for_waits_while_a_channel_is_quiet_by_all_that_name_it(
    set_up: Set, routes: list[dict[str, Any]], *, quiet: bool
) -> None:
    assert is_quiet(set_up(*({"channels": [C], **route} for route in routes)), channel_name(C), NOON) == quiet


def hours(begin: str, to: str, zone: str = "Europe/Zurich") -> QuietHours:
    return QuietHours.model_validate({"from": begin, "to": to, "time_zone": zone})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        # in winter Zurich is an hour ahead
        (hours("22:00", "07:00"), "2026-01-10 20:59:59", None),
        (hours("22:00", "07:00"), "2026-01-10 21:00", "2026-01-11 06:00"),
        (hours("22:00", "07:00"), "2026-01-10 23:30", "2026-01-11 06:00"),
        (hours("22:00", "07:00"), "2026-01-11 05:59:59", "2026-01-11 06:00"),
        (hours("22:00", "07:00"), "2026-01-11 06:00", None),
        (hours("12:00", "13:30"), "2026-01-10 11:00", "2026-01-10 12:30"),
        (hours("12:00", "13:30"), "2026-01-10 12:30", None),
        (hours("12:00", "13:30"), "2026-01-10 00:00", None),
        (hours("00:00", "06:00"), "2026-01-09 23:00", "2026-01-10 05:00"),
        (hours("18:00", "00:00"), "2026-01-10 22:59", "2026-01-10 23:00"),
        # the day there is another than in UTC
        (hours("22:00", "07:00", "Pacific/Auckland"), "2026-01-10 09:00", "2026-01-10 18:00"),
        (hours("22:00", "07:00", "America/Los_Angeles"), "2026-01-11 06:00", "2026-01-11 15:00"),
        (hours("22:00", "07:00", "Asia/Kathmandu"), "2026-01-10 16:15", "2026-01-11 01:15"),
        # 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC; the night is an hour shorter
        (hours("22:00", "07:00"), "2026-03-28 21:00", "2026-03-29 05:00"),
        (hours("22:00", "07:00"), "2026-03-29 05:00", None),
        (hours("22:00", "02:30"), "2026-03-29 00:59", "2026-03-29 01:00"),  # 02:30 is left out
        (hours("22:00", "02:30"), "2026-03-29 01:00", None),
        (hours("02:30", "05:00"), "2026-03-29 00:59", None),
        (hours("02:30", "05:00"), "2026-03-29 01:00", "2026-03-29 03:00"),
        (hours("02:10", "02:50"), "2026-03-29 01:00", None),  # the whole of it
        # 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC; the night is an hour longer
        (hours("22:00", "07:00"), "2026-10-24 20:00", "2026-10-25 06:00"),
        (hours("22:00", "02:30"), "2026-10-25 00:29", "2026-10-25 00:30"),  # when it is 02:30 for the first time
        (hours("22:00", "02:30"), "2026-10-25 00:30", None),
        (hours("22:00", "02:30"), "2026-10-25 01:10", None),
        (hours("02:30", "05:00"), "2026-10-25 00:29", None),
        (hours("02:30", "05:00"), "2026-10-25 01:10", "2026-10-25 04:00"),
        # where the clock is changed at midnight: 00:00 is left out
        (hours("20:00", "00:00", "Africa/Cairo"), "2026-04-23 21:30", "2026-04-23 22:00"),
    ],
)
def test_quiet_hours_are_by_the_clock_on_the_wall(quiet: QuietHours, now: str, until: str | None) -> None:
    assert quiet_until(quiet, utc(now)) == (None if until is None else utc(until))


@given(
    st.integers(0, 365 * 24 * 60),
    st.integers(0, 24 * 60 - 1),
    st.integers(0, 24 * 60 - 1),
    st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
)
def test_it_is_quiet_while_the_wall_shows_so_unless_its_clock_is_changed(
    minute: int, begin: int, to: int, zone: str
) -> None:
    assume(begin != to)
    now = datetime(2026, 1, 1, tzinfo=UTC) + minute * MINUTE
    end = quiet_until(hours(f"{begin // 60}:{begin % 60:02}", f"{to // 60}:{to % 60:02}", zone), now)
    assert end is None or now < end <= now + timedelta(hours=25)
    around = [(now + timedelta(hours=i)).astimezone(ZoneInfo(zone)) for i in (-24, 0, 24)]
    if len({moment.utcoffset() for moment in around}) > 1:
        return
    shown = around[1].hour * 60 + around[1].minute
    assert (end is not None) == (begin <= shown < to if begin < to else not to <= shown < begin)
    assert end is None or end == now + (to - shown) % (24 * 60) * MINUTE
