"""What stands still, judged from what was seen: each kind alone, told once, over when it lives again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pricetracker_dagster.alerts.incidents.standstill import (
    ALIVE,
    CLOCK,
    DIFFERENCE,
    DISK,
    EVALUATION,
    PRICES,
    PUBLICATION,
    SETTINGS,
    STANDSTILL,
    STILL,
    STORAGE,
    UNKNOWN,
    Verdict,
    failing_sensors,
    incident_name,
    over_by_now,
    review,
    sensor_kind,
)
from pricetracker_dagster.alerts.watchdog.judge import failing_for_long, judge
from pricetracker_dagster.alerts.watchdog.observation import Observation, Sign
from pricetracker_dagster.settings import WatchSettings

NOW = datetime(2026, 3, 3, 12, 10, 20, tzinfo=UTC)
LIMITS = WatchSettings()


def ago(**how: float) -> datetime:
    return NOW - timedelta(**how)


def seen(**instead: Any) -> Observation:
    """What a watch sees where all is well."""
    well = Observation(
        NOW,
        signs=[Sign("the daemon", ago(seconds=20)), Sign("the schedule every_minute", ago(seconds=19))],
        newest=datetime(2026, 3, 3, 12, 9, tzinfo=UTC),
        published=datetime(2026, 3, 3, 12, 9, tzinfo=UTC),
        damaged=(),
        free=10**12,
        clocks={"KRAKEN": 0.4},
        unreadable="",
    )
    return replace(well, **instead)


def state(kind: str, **instead: Any) -> str:
    return judge(seen(**instead), LIMITS)[kind].state


def test_where_all_is_well_everything_is_alive() -> None:
    assert {verdict.state for verdict in judge(seen(), LIMITS).values()} == {ALIVE}


@pytest.mark.parametrize(
    ("seconds", "expected"), [(179, ALIVE), (180, ALIVE), (181, STILL), (3600, STILL), (86400, STILL)]
)
def test_a_part_stands_still_after_the_limit(seconds: float, expected: str) -> None:
    signs = [Sign("the daemon", ago(seconds=5)), Sign("the schedule every_minute", ago(seconds=seconds))]
    assert state(EVALUATION, signs=signs) == expected


def test_the_limit_is_the_setting() -> None:
    signs = [Sign("the daemon", ago(minutes=9))]
    assert judge(seen(signs=signs), WatchSettings(standstill_minutes=10))[EVALUATION].state == ALIVE
    assert judge(seen(signs=signs), WatchSettings(standstill_minutes=8))[EVALUATION].state == STILL


def test_what_stands_still_is_named_with_its_last_time_and_what_is_known_of_it() -> None:
    signs = [
        Sign("the daemon", ago(seconds=10)),
        Sign("the schedule every_minute", ago(minutes=5), "Unable to reach the user code server"),
        Sign("the sensor spike_alerts", None, "it is switched off in the Dagster UI, Automation"),
        Sign("the sensor heartbeat", None),
    ]
    verdict = judge(seen(signs=signs), LIMITS)[EVALUATION]
    assert verdict.reason == (
        "no sign of life for more than 3 minutes: the schedule every_minute (last at 2026-03-03 12:05:20 UTC: "
        "Unable to reach the user code server); the sensor spike_alerts: it is switched off in the Dagster UI, "
        "Automation; the sensor heartbeat (never yet)"
    )
    assert verdict.first == ago(minutes=5)


def test_what_a_person_has_switched_off_is_said_with_its_last_time_and_no_restart_is_asked_for() -> None:
    off = Sign("the sensor heartbeat", ago(minutes=5), "it is switched off in the Dagster UI, Automation", is_off=True)
    well = [Sign("the daemon", ago(seconds=10)), Sign("the schedule every_minute", ago(seconds=10))]
    verdict = judge(seen(signs=[*well, off], since=ago(days=5)), LIMITS)[EVALUATION]
    assert (verdict.state, verdict.first, verdict.restarts) == (STILL, ago(minutes=5), False)
    assert verdict.reason.endswith(
        "the sensor heartbeat (last at 2026-03-03 12:05:20 UTC: it is switched off in the Dagster UI, Automation)"
    )
    silent = Sign("the sensor spike_alerts", ago(minutes=4))
    assert judge(seen(signs=[*well, off, silent]), LIMITS)[EVALUATION].restarts
    # nor does it hide that no minute comes
    assert state(PRICES, signs=[*well, off], newest=ago(hours=1).replace(second=0)) == STILL
    dead = [Sign("the daemon", ago(minutes=5)), off]
    assert state(PRICES, signs=dead, newest=ago(hours=1).replace(second=0)) == UNKNOWN


def test_what_is_old_because_nothing_ran_is_given_the_time_to_begin() -> None:
    old = [Sign("the daemon", ago(hours=8)), Sign("the schedule every_minute", None)]
    assert state(EVALUATION, signs=old, since=ago(seconds=30)) == UNKNOWN
    assert state(EVALUATION, signs=old, since=ago(minutes=4)) == STILL
    assert state(EVALUATION, signs=old) == STILL  # a single look takes it as it is
    newest = ago(hours=8).replace(second=0)
    assert state(PRICES, newest=newest, since=ago(seconds=30)) == UNKNOWN
    assert state(PRICES, newest=newest, since=ago(minutes=5)) == STILL


def test_a_time_of_the_future_is_no_sign_of_life() -> None:
    verdict = judge(seen(ahead=NOW + timedelta(hours=2)), LIMITS)[EVALUATION]
    assert verdict.state == STILL
    assert "last evaluated at 2026-03-03 14:10:20 UTC" in verdict.reason
    assert "it went back" in verdict.reason
    assert state(PRICES, newest=NOW + timedelta(hours=2)) != ALIVE
    # it is why no minute comes, which is told already
    assert state(PRICES, ahead=NOW + timedelta(hours=2), newest=ago(hours=1).replace(second=0)) == UNKNOWN


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ("12:09", ALIVE),
        ("12:07", ALIVE),  # over at 12:08:00
        ("12:06", UNKNOWN),  # over at 12:07:00, 3 minutes 20 seconds ago: the next may be just at hand
        ("12:05", STILL),
        (None, STILL),
    ],
)
def test_prices_stand_still_when_the_newest_minute_is_over_for_too_long(newest: str | None, expected: str) -> None:
    minute = None if newest is None else datetime.fromisoformat(f"2026-03-03T{newest}Z")
    assert state(PRICES, newest=minute) == expected


def test_what_fails_over_damaged_tables_is_told_as_damage_alone_and_gets_time_once_they_are_mended() -> None:
    trouble = "pricetracker_dagster.store.delta.StoreError: the table minute_prices is damaged"
    failing = [Sign("the daemon", ago(seconds=5)), Sign("the sensor spike_alerts", ago(hours=1), trouble)]
    how = {"signs": failing, "newest": ago(hours=1).replace(second=0)}
    assert state(EVALUATION, **how) == STILL
    assert state(EVALUATION, **how, damaged=["the table minute_prices is damaged"]) == UNKNOWN
    assert state(PRICES, **how, damaged=["the table minute_prices is damaged"]) == UNKNOWN
    assert state(EVALUATION, **how, mended=ago(seconds=100)) == UNKNOWN
    assert state(PRICES, **how, mended=ago(seconds=100)) == UNKNOWN
    assert state(EVALUATION, **how, mended=ago(minutes=4)) == STILL
    # a daemon that is silent meanwhile is another thing
    dead = [Sign("the daemon", ago(minutes=4)), failing[1]]
    damaged = {"damaged": ["the table minute_prices is damaged"], "mended": NOW}
    verdict = judge(seen(signs=dead, **damaged), LIMITS)[EVALUATION]
    assert verdict.state == STILL
    assert "the daemon" in verdict.reason
    assert "spike_alerts" not in verdict.reason


@pytest.mark.parametrize(
    ("published", "expected"),
    [("12:09", ALIVE), ("12:06", ALIVE), ("12:05", STILL), ("11:00", STILL), (None, STILL), ("14:00", ALIVE)],
)
def test_minutes_that_are_stored_have_to_be_published(published: str | None, expected: str) -> None:
    as_of = None if published is None else datetime.fromisoformat(f"2026-03-03T{published}Z")
    assert state(PUBLICATION, published=as_of) == expected


def test_a_publication_that_fails_is_said_with_why_and_is_none_of_its_own_where_tables_are_damaged() -> None:
    as_of = datetime(2026, 3, 3, 12, 4, tzinfo=UTC)
    verdict = judge(seen(published=as_of, unpublished="Operation not permitted"), LIMITS)[PUBLICATION]
    assert verdict.reason == (
        "what is published ends at 2026-03-03 12:04:00 UTC, and what is stored since could not be published: "
        "Operation not permitted"
    )
    assert verdict.first == as_of + timedelta(minutes=2)
    assert state(PUBLICATION, published=as_of, damaged=["the table minute_prices is damaged"]) == UNKNOWN
    assert state(PUBLICATION, published=as_of, since=ago(minutes=1)) == UNKNOWN
    assert state(PUBLICATION, published=as_of, newest=None) == UNKNOWN  # nothing can be said


def test_after_the_daemon_came_back_minutes_get_time_to_come() -> None:
    assert state(PRICES, newest=ago(hours=1), recovered=ago(seconds=50)) == UNKNOWN
    assert state(PRICES, newest=ago(hours=1), recovered=ago(minutes=5)) == STILL


def test_an_outage_that_is_told_already_is_not_told_twice() -> None:
    assert state(PRICES, newest=ago(hours=1), covered=True) == UNKNOWN


def test_a_dead_daemon_is_one_stillness_not_two() -> None:
    verdicts = judge(seen(signs=[Sign("the daemon", ago(minutes=9))], newest=ago(minutes=9)), LIMITS)
    assert [kind for kind, verdict in verdicts.items() if verdict.state == STILL] == [EVALUATION]


@pytest.mark.parametrize(("free", "expected"), [(499, STILL), (500, UNKNOWN), (549, UNKNOWN), (550, ALIVE)])
def test_low_disk_is_over_only_with_some_room(free: int, expected: str) -> None:
    assert state(DISK, free=free * 10**6) == expected


@pytest.mark.parametrize(
    ("ahead", "expected", "said"),
    [
        (30.0, ALIVE, ""),
        (31.0, STILL, "this machine's clock is 31 seconds ahead of KRAKEN's"),
        (-45.0, STILL, "this machine's clock is 45 seconds behind KRAKEN's"),
        (7203.0, STILL, "this machine's clock is 120 minutes ahead of KRAKEN's"),
    ],
)
def test_a_clock_that_is_wrong_is_told_with_the_difference(ahead: float, expected: str, said: str) -> None:
    verdict = judge(seen(clocks={"KRAKEN": ahead, "OTHER": 0.0}), LIMITS)[DIFFERENCE]
    assert verdict.state == expected
    assert verdict.reason.startswith(said)


def test_a_clock_that_nobody_measured_is_neither_right_nor_wrong() -> None:
    assert state(DIFFERENCE, clocks={}) == UNKNOWN


STOPPED = {"signs": [Sign("the daemon", ago(minutes=5))]}


def test_one_stillness_is_one_incident_that_grows_and_is_resolved() -> None:
    [opened] = review(judge(seen(**STOPPED), LIMITS), [], NOW)
    assert (opened["state"], opened["cause"], opened["metrics"], opened["missing"]) == ("open", STANDSTILL, [], 0)
    assert (opened["first"], opened["last"]) == (datetime(2026, 3, 3, 12, 5, tzinfo=UTC), NOW.replace(second=0))
    assert opened["count"] == 6
    # within the same minute nothing changes; later it grows under the same id
    assert review(judge(seen(**STOPPED), LIMITS), [opened], NOW + timedelta(seconds=10)) == []
    later = NOW + timedelta(minutes=3)
    [grown] = review(judge(replace(seen(**STOPPED), now=later), LIMITS), [opened], later)
    assert grown["id"] == opened["id"]
    assert grown["count"] == 9
    assert grown["opened_at"] == opened["opened_at"]
    # neither known to live nor to stand still: nothing is said
    assert review(judge(seen(signs=STOPPED["signs"], since=NOW), LIMITS), [grown], NOW) == []
    [over] = review(judge(seen(), LIMITS), [grown], NOW)
    assert (over["id"], over["state"], over["resolved_at"]) == (opened["id"], "resolved", NOW)
    assert review(judge(seen(), LIMITS), [over], NOW) == []


def test_disk_clock_and_stillness_have_incidents_of_their_own() -> None:
    verdicts = judge(seen(**STOPPED, free=0, clocks={"KRAKEN": 99.0}), LIMITS)
    rows = review(verdicts, [], NOW)
    assert sorted(row["cause"] for row in rows) == [CLOCK, STANDSTILL, STANDSTILL]
    assert len({row["id"] for row in rows}) == 3
    [over] = review(judge(seen(**STOPPED, clocks={"KRAKEN": 99.0}), LIMITS), rows, NOW)
    assert "disk" in over["reason"]


def test_incidents_of_missed_minutes_are_left_alone() -> None:
    other = {"id": "not run|2026-03-03T12:05Z", "state": "open", "cause": "not run"}
    assert review(judge(seen(), LIMITS), [other], NOW) == []


def test_a_minute_that_comes_twice_makes_two_incidents() -> None:
    [first] = review(judge(seen(**STOPPED), LIMITS), [], NOW)
    resolved = {**first, "state": "resolved", "resolved_at": NOW}
    [again] = review(judge(seen(**STOPPED), LIMITS), [resolved], NOW)
    assert again["id"] != first["id"]


def test_damaged_tables_are_one_thing_whatever_their_number_until_nobody_is_damaged() -> None:
    verdict = judge(seen(damaged=["the table causes is damaged: x", "the table alerts is damaged: y"]), LIMITS)[STORAGE]
    assert verdict == Verdict(STILL, "the table causes is damaged: x; the table alerts is damaged: y")
    assert state(STORAGE, damaged=None) == UNKNOWN
    assert state(STORAGE, damaged=[]) == ALIVE


def test_where_no_sign_can_be_read_nobody_knows() -> None:
    assert state(EVALUATION, signs=[]) == UNKNOWN


def minutes_later(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def test_what_the_settings_are_judged_by() -> None:
    assert state(SETTINGS, unreadable=None) == UNKNOWN
    verdict = judge(seen(unreadable="pricetracker.toml: ui.port 0: wrong"), LIMITS)[SETTINGS]
    assert verdict.state == STILL
    assert verdict.reason.startswith("pricetracker.toml: ui.port 0: wrong: ticks fail until")
    [row] = review({SETTINGS: verdict}, [], NOW)
    assert (row["cause"], incident_name(row)) == ("settings", "unreadable settings")


def test_while_settings_cannot_be_read_no_minute_comes_and_that_is_not_told_beside() -> None:
    assert state(PRICES, newest=ago(hours=1)) == STILL
    assert state(PRICES, newest=ago(hours=1), unreadable="pricetracker.toml: no TOML") == UNKNOWN
    assert state(EVALUATION, signs=[Sign("the daemon", ago(hours=1))], unreadable="no TOML") == STILL


def test_each_sensor_that_fails_is_an_incident_of_its_own() -> None:
    verdicts = {sensor_kind(name): Verdict(STILL, f"{name}: 1 / 0") for name in ("spike_alerts", "heartbeat")}
    rows = review(verdicts, [], NOW)
    assert {(row["id"].split("|")[0], row["cause"], incident_name(row)) for row in rows} == {
        ("sensor spike_alerts", "sensor failure", "failing sensor"),
        ("sensor heartbeat", "sensor failure", "failing sensor"),
    }
    assert failing_sensors(rows) == {"spike_alerts", "heartbeat"}
    [over] = review({sensor_kind("heartbeat"): Verdict(ALIVE)}, rows, minutes_later(1))
    assert (over["id"].split("|")[0], over["state"]) == ("sensor heartbeat", "resolved")


def test_a_sensor_that_has_told_that_it_fails_does_not_stand_still_beside_but_may_be_mended_by_a_restart() -> None:
    silent = [Sign("the sensor heartbeat", ago(minutes=5), "HTTP 500"), Sign("the daemon", ago(seconds=1))]
    assert state(EVALUATION, signs=silent) == STILL
    told = seen(signs=silent, failing={"heartbeat"})
    assert judge(told, LIMITS)[EVALUATION].state == UNKNOWN
    verdict = failing_for_long(told, LIMITS)
    assert verdict is not None
    assert "the sensor heartbeat" in verdict.reason
    assert failing_for_long(seen(signs=silent), LIMITS) is None


@pytest.mark.parametrize("kind", [PUBLICATION, SETTINGS, sensor_kind("heartbeat")])
def test_what_fails_every_other_minute_is_told_twice_and_over_after_a_while_without_it(kind: str) -> None:
    rows: dict[str, dict[str, Any]] = {}
    transitions = []
    for minute in range(30):
        fails = minute % 2 == 0 and minute < 20
        verdict = Verdict(STILL, "it fails") if fails else Verdict(ALIVE)
        for row in review({kind: verdict}, list(rows.values()), minutes_later(minute)):
            if row["id"] not in rows or row["state"] != rows[row["id"]]["state"]:
                transitions.append((minute, row["state"], row["flaps"]))
            rows[row["id"]] = row
    assert transitions == [(0, "open", False), (1, "resolved", False), (2, "open", True), (23, "resolved", True)]


def test_what_comes_again_later_is_another_time_and_over_at_once() -> None:
    [first] = review({SETTINGS: Verdict(STILL, "x")}, [], NOW)
    [over] = review({SETTINGS: Verdict(ALIVE)}, [first], minutes_later(1))
    [again] = review({SETTINGS: Verdict(STILL, "x")}, [over], minutes_later(20))
    assert again["flaps"] is False
    [over_again] = review({SETTINGS: Verdict(ALIVE)}, [over, again], minutes_later(21))
    assert over_again["state"] == "resolved"


def test_a_publication_that_is_told_is_over_when_everything_that_is_stored_is_published() -> None:
    minute = datetime(2026, 3, 3, 12, 8, tzinfo=UTC)
    assert state(PUBLICATION, published=minute) == ALIVE  # a minute behind, as each minute
    assert state(PUBLICATION, published=minute, behind=True) == STILL
    assert state(PUBLICATION, published=minute + timedelta(minutes=1), behind=True) == ALIVE


def test_a_sensor_of_runs_that_has_not_failed_for_a_while_is_over_though_there_is_no_run() -> None:
    rows = review({sensor_kind("heartbeat"): Verdict(STILL, "x"), SETTINGS: Verdict(STILL, "x")}, [], NOW)
    assert over_by_now(rows, minutes_later(4)) == {}
    assert over_by_now(rows, minutes_later(6)) == {sensor_kind("heartbeat"): Verdict(ALIVE)}
