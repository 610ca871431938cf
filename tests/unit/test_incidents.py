"""From missed minutes to incidents; and what is said of incidents and alerts, to whom, when, and without secrets."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster.alerts.incidents import OPEN, RESOLVED, Missed, incident_id, review
from pricetracker_dagster.candles import MINUTE
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
        "told_out": None,
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
