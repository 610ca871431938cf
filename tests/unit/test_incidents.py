"""From missed minutes to incidents; and what is said of incidents and alerts, to whom, when, and without secrets."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster.alerts import notify
from pricetracker_dagster.alerts.channels import Message, Outcome
from pricetracker_dagster.alerts.fitting import Limit
from pricetracker_dagster.alerts.incidents import OPEN, RESOLVED, Missed, incident_id, review
from pricetracker_dagster.alerts.notify import Notice, fitted
from pricetracker_dagster.candles import MINUTE
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.records import INCIDENTS, NOT_RUN, Row

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
NOW = NOON + timedelta(hours=3)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"

Write = Callable[[str], Path]


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def missed(
    first: int,
    last: int,
    *metrics: str,
    absent: int = 1,
    cause: str = NOT_RUN,
    reason: str | None = "nobody was there",
) -> Missed:
    return Missed(cause, reason, at(first), at(last), metrics or (BTC,), absent)


def row(first: int, last: int, *metrics: str, cause: str = NOT_RUN, **other: Any) -> Row:
    """An incident that was recorded an hour ago, open."""
    found: Row = {
        "id": incident_id(cause, at(first)),
        "state": OPEN,
        "cause": cause,
        "reason": "nobody was there",
        "first": at(first),
        "last": at(last),
        "count": last - first + 1,
        "metrics": list(metrics or (BTC,)),
        "missing": last - first + 1,
        "opened_at": NOW - timedelta(hours=1),
        "resolved_at": None,
    }
    return {**found, **other}


def test_missed_minutes_open_an_incident_with_all_that_is_known() -> None:
    [opened] = review([missed(0, 4, ETH, BTC, absent=10)], [], {}, NOW)
    assert list(opened) == INCIDENTS.names
    assert opened == {
        "id": "not run|2026-03-03T12:00Z",
        "state": OPEN,
        "cause": NOT_RUN,
        "reason": "nobody was there",
        "first": at(0),
        "last": at(4),
        "count": 5,
        "metrics": [BTC, ETH],
        "missing": 10,
        "opened_at": NOW,
        "resolved_at": None,
        "causes": None,
        "out": [BTC, ETH],
        "grown_at": at(4),
        "flaps": False,
        "exchange": None,
        "held_by": None,
        "transitions": 0,
    }


def test_what_nobody_has_said_anything_of_has_a_reason_all_the_same() -> None:
    [opened] = review([missed(0, 0, reason=None)], [], {}, NOW)
    assert opened["reason"] == "no tick was run for them"


def test_nothing_missed_and_nothing_open_is_nothing_to_record() -> None:
    assert review([], [], {}, NOW) == []


def test_an_open_incident_that_is_as_it_was_is_not_recorded_again() -> None:
    before = row(0, 4)
    assert review([], [before], {before["id"]: 5}, NOW) == []


def test_minutes_right_after_an_incident_extend_it() -> None:
    before = row(0, 4)
    [after] = review([missed(5, 6, ETH, absent=2)], [before], {before["id"]: 5}, NOW)
    assert after == {**before, "last": at(6), "count": 7, "metrics": [BTC, ETH], "missing": 7}


def test_minutes_right_before_an_incident_extend_it_and_its_id_stays() -> None:
    before = row(5, 6)
    [after] = review([missed(0, 4, absent=5)], [before], {before["id"]: 2}, NOW)
    assert after == {**before, "first": at(0), "count": 7, "missing": 7}


def test_minutes_on_both_sides_of_an_incident_extend_it_at_both_ends() -> None:
    before = row(5, 6)
    [after] = review([missed(3, 9, ETH, absent=7)], [before], {before["id"]: 2}, NOW)
    assert (after["first"], after["last"], after["count"], after["missing"]) == (at(3), at(9), 7, 9)


def test_more_metrics_of_the_same_minutes_are_the_same_incident_and_no_more_minutes() -> None:
    before = row(0, 4)
    [after] = review([missed(1, 2, XRP, ETH, absent=4)], [before], {before["id"]: 5}, NOW)
    assert after == {**before, "metrics": [BTC, ETH, XRP], "missing": 9}


def test_a_gap_of_one_good_minute_makes_another_incident() -> None:
    before = row(0, 4)
    [after] = review([missed(6, 6)], [before], {before["id"]: 5}, NOW)
    assert (after["id"], after["first"]) == (incident_id(NOT_RUN, at(6)), at(6))


def test_two_causes_at_once_are_two_incidents() -> None:
    found = [missed(0, 4, BTC), missed(0, 9, ETH, cause="pair unknown"), missed(5, 9, BTC, cause="exchange error")]
    opened = review(found, [], {}, NOW)
    assert [(each["cause"], each["first"], each["last"], each["metrics"]) for each in opened] == [
        (NOT_RUN, at(0), at(4), [BTC]),
        ("pair unknown", at(0), at(9), [ETH]),
        ("exchange error", at(5), at(9), [BTC]),
    ]
    assert len({each["id"] for each in opened}) == 3


def test_an_incident_is_extended_by_its_own_cause_only() -> None:
    error, unknown = row(0, 4, cause="exchange error"), row(0, 4, ETH, cause="pair unknown")
    still = {error["id"]: 5, unknown["id"]: 5}
    [after] = review([missed(5, 5, ETH, cause="pair unknown")], [error, unknown], still, NOW)
    assert (after["id"], after["last"], after["metrics"]) == (unknown["id"], at(5), [ETH])


def test_found_minutes_that_follow_each_other_are_one_incident() -> None:
    [opened] = review([missed(0, 1, BTC, absent=2), missed(2, 3, ETH, absent=2)], [], {}, NOW)
    assert (opened["first"], opened["last"], opened["count"]) == (at(0), at(3), 4)
    assert (opened["metrics"], opened["missing"]) == ([BTC, ETH], 4)


def test_an_outage_of_an_hour_over_a_hundred_metrics_is_one_incident_however_it_is_noticed() -> None:
    metrics = [f"KRAKEN:X{i:02}USD" for i in range(100)]
    rows: dict[str, Row] = {}
    for minute in range(60):
        still = dict.fromkeys(rows, minute * 100)
        opened = list(rows.values())
        rows |= {
            each["id"]: each for each in review([missed(minute, minute, *metrics, absent=100)], opened, still, NOW)
        }
    [incident] = rows.values()
    assert (incident["count"], incident["missing"], len(incident["metrics"])) == (60, 6000, 100)


def test_an_incident_is_resolved_when_none_of_its_minutes_is_missing_any_more() -> None:
    before = row(0, 4)
    [after] = review([], [before], {}, NOW)
    assert after == {**before, "state": RESOLVED, "missing": 0, "resolved_at": NOW}


def test_an_incident_that_is_healed_in_part_says_what_is_left() -> None:
    before = row(0, 4)
    [after] = review([], [before], {before["id"]: 2}, NOW)
    assert after == {**before, "missing": 2}


def test_an_incident_healed_while_more_is_missed_stays_open() -> None:
    [after] = review([missed(5, 5)], [row(0, 4)], {}, NOW)
    assert (after["state"], after["missing"], after["resolved_at"]) == (OPEN, 1, None)


def test_one_that_was_healed_before_anybody_saw_it_is_opened_and_resolved_at_once() -> None:
    [after] = review([missed(0, 4, absent=0, cause="exchange maintenance")], [], {}, NOW)
    assert (after["state"], after["opened_at"], after["resolved_at"], after["missing"]) == (RESOLVED, NOW, NOW, 0)
    assert (after["cause"], after["count"]) == ("exchange maintenance", 5)


def test_the_reason_that_was_told_first_stays() -> None:
    before = row(0, 4)
    [after] = review([missed(5, 5, reason="quite another")], [before], {before["id"]: 5}, NOW)
    assert after["reason"] == "nobody was there"


def test_rows_that_were_handed_in_are_not_changed() -> None:
    before = row(0, 4)
    review([missed(5, 5, ETH)], [before], {}, NOW)
    assert before == row(0, 4)


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)))
@settings(deadline=None)
def test_minutes_noticed_one_after_the_other_make_the_incidents_that_they_make_at_once(
    minutes: set[int], healed: set[int]
) -> None:
    rows: dict[str, Row] = {}
    for minute in sorted(minutes):
        opened = list(rows.values())
        still = {each["id"]: each["missing"] for each in opened}
        rows |= {each["id"]: each for each in review([missed(minute, minute)], opened, still, NOW)}
    found = [((each["first"] - NOON) // MINUTE, (each["last"] - NOON) // MINUTE) for each in rows.values()]
    assert [minute for first, last in found for minute in range(first, last + 1)] == sorted(minutes)
    assert all(last + 1 not in minutes for _, last in found)
    assert [each["count"] for each in rows.values()] == [last - first + 1 for first, last in found]


# --- what is said ---


@pytest.fixture
def plain(write_settings: Write) -> Settings:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[ui]\nurl = "https://tracker.example/"')
    return load_settings()


def alert(**other: Any) -> Row:
    """An alert that fired two minutes ago."""
    found: Row = {
        "id": "spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z",
        "rule": "spike",
        "metric": BTC,
        "measure": "volume",
        "minute": at(0),
        "state": "firing",
        "value": 301.0,
        "average": 100.0,
        "ratio": 3.01,
        "factor": 3.0,
        "last_minute": at(0),
        "minutes": 1,
        "peak": 301.0,
        "peak_ratio": 3.01,
        "peak_minute": at(0),
        "fired_at": at(1),
        "resolved_at": None,
        "ended_because": None,
        "sent": True,
    }
    return {**found, **other}


def said_of_alert(found: Row, settings: Settings, now: datetime) -> list[Notice]:
    return list(notify._said_of(found, notify._ALERT, found["fired_at"], settings, now))


def said_of_incident(found: Row, settings: Settings, now: datetime) -> list[Notice]:
    return list(notify._said_of(found, notify._INCIDENT, found["opened_at"], settings, now))


def notice(number: int = 0, subject: str = "alert", event: str = "firing") -> Notice:
    return Notice(f"id{number}", subject, event, at(number), f"headline {number}", f"line {number}")


def test_a_firing_alert_is_a_line_with_metric_measure_value_average_ratio_and_minute(plain: Settings) -> None:
    [firing] = said_of_alert(alert(), plain, at(2))
    assert firing == Notice(
        id="spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z",
        subject="alert",
        event="firing",
        due=at(1),
        headline="▲ KRAKEN:BTCUSD volume 3.01×",
        text="▲ KRAKEN:BTCUSD volume 301 = 3.01× its average 100 at 2026-03-03 12:00 UTC (spike: above 3×)",
    )


def test_a_resolved_alert_says_how_long_it_lasted_and_its_peak(plain: Settings) -> None:
    over = alert(
        state="resolved",
        last_minute=at(6),
        minutes=4,
        peak=712.3456789,
        peak_ratio=7.1249,
        peak_minute=at(4),
        resolved_at=at(12),
        ended_because="below again",
    )
    firing, resolved = said_of_alert(over, plain, at(12))
    assert (firing.event, resolved.event, resolved.due) == ("firing", "resolved", at(12))
    assert resolved.headline == "✓ KRAKEN:BTCUSD volume resolved"
    assert resolved.text == (
        "✓ KRAKEN:BTCUSD volume below again: it lasted 7 minutes from 2026-03-03 12:00 UTC, "
        "peak 712.3456789 = 7.12× at 12:04 (spike)"
    )


@pytest.mark.parametrize(
    ("after", "event"),
    [(59, None), (60, "reminder 1"), (119, "reminder 1"), (120, "reminder 2"), (600, "reminder 10")],
)
def test_while_it_lasts_the_newest_reminder_is_due(plain: Settings, after: int, event: str | None) -> None:
    for said in (
        said_of_alert(alert(), plain, at(1 + after)),
        said_of_incident(row(0, 4, opened_at=at(1)), plain, at(1 + after)),
    ):
        reminders = [each for each in said if each.event.startswith("reminder")]
        assert [each.event for each in reminders] == ([event] if event else [])
        assert all(each.due == at(1 + after - after % 60) and "still" in each.text for each in reminders)


def test_without_a_pause_to_repeat_after_nobody_is_reminded(write_settings: Write) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nrepeat_minutes = 0')
    assert [each.event for each in said_of_alert(alert(), load_settings(), at(600))] == ["firing"]


def test_what_is_over_needs_no_reminder(plain: Settings) -> None:
    over = row(0, 4, state=RESOLVED, missing=0, opened_at=at(6), resolved_at=at(300))
    assert [each.event for each in said_of_incident(over, plain, at(300))] == ["opened", "resolved"]


def test_an_incident_is_a_line_with_minutes_metrics_cause_and_reason(plain: Settings) -> None:
    metrics = [f"KRAKEN:X{i}USD" for i in range(7)]
    [opened] = said_of_incident(row(0, 4, *metrics, cause="exchange error"), plain, NOW - MINUTE)
    assert opened.subject == "incident"
    assert opened.headline == "✗ minutes missed: exchange error"
    assert opened.text == (
        "✗ missed: 2026-03-03 12:00 to 12:04 (5 minutes) UTC of KRAKEN:X0USD, KRAKEN:X1USD, KRAKEN:X2USD, "
        "KRAKEN:X3USD, KRAKEN:X4USD and 2 more: exchange error: nobody was there"
    )


def test_a_healed_incident_says_what_it_was_and_how_long_it_took(plain: Settings) -> None:
    healed = row(0, 4, state=RESOLVED, missing=0, resolved_at=NOW - timedelta(minutes=53))
    assert said_of_incident(healed, plain, NOW)[-1].text == (
        "✓ healed 7 minutes after it was noticed: 2026-03-03 12:00 to 12:04 (5 minutes) UTC of KRAKEN:BTCUSD: not run"
    )


def test_an_incident_that_ends_with_minutes_lost_says_so(plain: Settings) -> None:
    lost = row(0, 4, state=RESOLVED, missing=3, resolved_at=NOW)
    last = said_of_incident(lost, plain, NOW)[-1]
    assert last.headline == "✗ 3 minutes missed for good"
    assert "3 minutes stay missing" in last.text


def compose(notices: Sequence[Notice], settings: Settings) -> Message:
    """The message for a channel that takes any length."""
    [(message, _)] = fitted(notices, settings, Limit(title=1_000_000, body=100_000_000))
    return message


def test_a_message_is_a_line_for_each_and_a_link_below(plain: Settings) -> None:
    message = compose([notice(0), notice(1)], plain)
    assert message == Message("headline 0, headline 1", "line 0\nline 1\nhttps://tracker.example/assets/alerts", False)


def test_a_message_about_both_links_to_both(plain: Settings) -> None:
    message = compose([notice(0), notice(1, "incident"), notice(2)], plain)
    assert message.body.splitlines()[3:] == [
        "https://tracker.example/assets/alerts",
        "https://tracker.example/assets/incidents",
    ]


def test_a_message_names_three_things_in_its_title(plain: Settings) -> None:
    assert compose([notice(i) for i in range(3)], plain).title == "headline 0, headline 1, headline 2"
    assert compose([notice(i) for i in range(4)], plain).title == "headline 0, headline 1, headline 2 and 1 more"


@pytest.mark.parametrize(("count", "more"), [(20, []), (21, ["… and 1 more"]), (500, ["… and 480 more"])])
def test_a_message_has_at_most_twenty_lines_of_facts(plain: Settings, count: int, more: list[str]) -> None:
    message = compose([notice(i) for i in range(count)], plain)
    assert message.body.splitlines() == [
        *(f"line {i}" for i in range(20)),
        *more,
        "https://tracker.example/assets/alerts",
    ]


def test_a_message_is_good_news_where_everything_in_it_is_over(plain: Settings) -> None:
    assert compose([notice(0, event="resolved"), notice(1, event="resolved")], plain).good
    assert not compose([notice(0, event="resolved"), notice(1)], plain).good


# --- to whom and when ---


def attempts(count: int, *, last: datetime, delivered: bool = False, event: str = "firing") -> list[Row]:
    """So many attempts for notice 0, the last of them at a moment."""
    return [
        {
            "id": "id0",
            "subject": "alert",
            "event": event,
            "channel": "json-12345678",
            "attempt": i + 1,
            "attempted_at": last - (count - 1 - i) * MINUTE,
            "delivered": delivered and i == count - 1,
            "error": None,
        }
        for i in range(count)
    ]


def test_what_was_never_tried_is_due() -> None:
    assert notify._due([notice(0), notice(1)], [], NOW) == [notice(0), notice(1)]


def test_what_a_channel_took_is_not_due_any_more() -> None:
    assert notify._due([notice(0)], attempts(3, last=NOW - timedelta(hours=2), delivered=True), NOW) == []


def test_of_one_alert_each_event_is_due_on_its_own() -> None:
    taken = attempts(1, last=NOW, delivered=True)
    assert notify._due([notice(0), notice(0, event="resolved")], taken, NOW) == [notice(0, event="resolved")]
    assert notify._due([notice(0)], attempts(1, last=NOW, delivered=True, event="reminder 1"), NOW) == [notice(0)]


@pytest.mark.parametrize(
    ("failed", "pause"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (20, 300), (500, 300)]
)
def test_what_failed_is_tried_again_after_pauses_that_grow_up_to_five_minutes(failed: int, pause: int) -> None:
    tried = attempts(failed, last=NOW)
    assert notify._due([notice(0)], tried, NOW + timedelta(seconds=pause) - timedelta(microseconds=1)) == []
    assert notify._due([notice(0)], tried, NOW + timedelta(seconds=pause)) == [notice(0)]


def test_what_failed_does_not_hold_up_the_rest() -> None:
    assert notify._due([notice(0), notice(1)], attempts(6, last=NOW), NOW) == [notice(1)]


def test_attempts_are_counted_on(plain: Settings) -> None:
    outcome = Outcome("json-12345678", False, "not taken")
    assert notify._attempt(notice(0), outcome, [], NOW)["attempt"] == 1
    assert notify._attempt(notice(0), outcome, attempts(3, last=NOW), NOW) == {
        "id": "id0",
        "subject": "alert",
        "event": "firing",
        "channel": "json-12345678",
        "attempt": 4,
        "attempted_at": NOW,
        "delivered": False,
        "error": "not taken",
    }
    assert notify._attempt(notice(1), outcome, attempts(3, last=NOW), NOW)["attempt"] == 1
