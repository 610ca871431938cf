"""From minutes above to alerts: when one is pending, fires, goes on and is resolved, whatever the order of the news."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricetracker_dagster.alerts.lifecycle.alert import FIRING, PENDING, RESOLVED, alert_id
from pricetracker_dagster.alerts.lifecycle.context import Judged, ReviewContext
from pricetracker_dagster.alerts.lifecycle.review import review
from pricetracker_dagster.alerts.rules import ABOVE, Verdict
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import AlertRule
from pricetracker_dagster.store.records import Row
from pricetracker_dagster.store.schema import ALERTS

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


def after(minute: int) -> datetime:
    """When one looks that knows a minute."""
    return at(minute + 1) + timedelta(seconds=5)


def above(minute: int, ratio: float = 4.0, **other: Any) -> Verdict:
    verdict = Verdict("spike", BTC, "volume", at(minute), ratio * 100, 100.0, ratio, 60, ABOVE)
    return verdict._replace(**other)


class Log:
    """The recorded alerts, and looks that are taken one after the other.

    Attributes:
        rows: what is recorded, by id.
    """

    def __init__(self, **rule: Any) -> None:
        self.rule = AlertRule(**rule)
        self.rules = {self.rule.name: self.rule}
        self.rows: dict[str, Row] = {}
        self.above: dict[tuple[str, str, str], dict[datetime, Verdict]] = {}

    def look(
        self,
        *minutes: int | Verdict,
        stored: int | None,
        now: int | None = None,
        tracked: Collection[str] = (BTC, ETH),
        max_age: timedelta = 15 * MINUTE,
        missing: Collection[int] = (),
        corrected: Collection[int] = (),
    ) -> list[Row]:
        """Review what is above; ``stored`` is the newest minute stored, ``now`` the newest closed one where later.

        All that is stored and was not found above was judged below; ``corrected`` are minutes above that are no more.
        """
        verdicts = [minute if isinstance(minute, Verdict) else above(minute) for minute in minutes]
        for verdict in verdicts:
            self.above.setdefault((verdict.rule, verdict.metric, verdict.measure), {})[verdict.minute] = verdict
        given = [verdict.minute for verdict in verdicts] + [at(minute) for minute in corrected]
        whole = {row["id"] for row in self.rows.values() if given and min(given) <= row["last_minute"]}
        below = {}
        for series, known_above in self.above.items():
            for minute in corrected:
                known_above.pop(at(minute), None)
            gone = {*known_above, *(at(minute) for minute in missing)}
            below[series] = [at(i) for i in range(0 if stored is None else stored + 1) if at(i) not in gone]
        newest = max(stored or 0, now or 0)
        known = ReviewContext(
            now=at(newest) + MINUTE + timedelta(seconds=5),
            tracked=tracked,
            stored={} if stored is None else {BTC: at(stored), ETH: at(stored)},
            max_age=max_age,
            judged=Judged(below=below, since=at(-1000), whole=whole),
        )
        if whole:
            verdicts = [verdict for found in self.above.values() for verdict in found.values()]
        changed = review(verdicts, list(self.rows.values()), self.rules, known)
        assert all(list(row) == ALERTS.names for row in changed)
        assert len({row["id"] for row in changed}) == len(changed)
        self.rows |= {row["id"]: row for row in changed}
        return changed

    @property
    def short(self) -> list[tuple[int, int, int, str]]:
        """First minute, last minute, how many, state; oldest first."""
        return sorted(
            (after_noon(row["minute"]), after_noon(row["last_minute"]), row["minutes"], row["state"])
            for row in self.rows.values()
        )


def after_noon(minute: datetime) -> int:
    return (minute - NOON) // MINUTE


def test_a_minute_above_fires_at_once_and_is_recorded_with_all_that_is_known() -> None:
    [row] = Log(factor=3.5).look(above(0, 4.0), stored=0)
    assert row == {
        "id": "spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z",
        "rule": "spike",
        "metric": BTC,
        "measure": "volume",
        "minute": NOON,
        "state": FIRING,
        "value": 400.0,
        "average": 100.0,
        "ratio": 4.0,
        "factor": 3.5,
        "last_minute": NOON,
        "minutes": 1,
        "peak": 400.0,
        "peak_ratio": 4.0,
        "peak_minute": NOON,
        "fired_at": at(1) + timedelta(seconds=5),
        "resolved_at": None,
        "ended_because": None,
        "sent": True,
        "held_by": None,
        "transitions": 0,
        "rule_kind": "spike",
        "others": None,
    }


def test_the_id_is_made_of_rule_metric_measure_and_minute() -> None:
    assert alert_id(("spike", BTC, "price"), NOON) == "spike|KRAKEN:BTCUSD|price|2026-03-03T12:00Z"


def test_nothing_above_and_nothing_recorded_is_nothing_to_record() -> None:
    assert Log().look(stored=0) == []


def test_judging_the_same_again_changes_nothing() -> None:
    log = Log()
    assert len(log.look(0, 1, 3, stored=3)) == 1
    assert log.look(0, 1, 3, stored=3) == []
    assert log.look(3, stored=4) == []
    assert log.look(stored=5) == []


def test_an_alert_goes_on_under_its_id_with_its_peak_and_count() -> None:
    log = Log()
    log.look(above(0, 4.0), stored=0)
    log.look(above(1, 9.0), stored=1)
    log.look(above(3, 8.0), stored=3)
    [row] = log.rows.values()
    assert row["id"] == "spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z"
    assert log.short == [(0, 3, 3, FIRING)]
    assert (row["value"], row["ratio"]) == (400.0, 4.0)
    assert (row["peak"], row["peak_ratio"], row["peak_minute"]) == (900.0, 9.0, at(1))
    assert row["fired_at"] == at(1) + timedelta(seconds=5)  # when it first fired


def test_it_is_resolved_by_so_many_minutes_without_one_above() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, 1, stored=1)
    assert log.look(stored=5) == []
    [row] = log.look(stored=6)
    assert log.short == [(0, 1, 2, RESOLVED)]
    assert (row["ended_because"], row["resolved_at"]) == ("below again", at(7) + timedelta(seconds=5))
    assert log.look(stored=7) == []


def test_what_is_above_before_so_many_minutes_are_over_belongs_to_it_and_after_that_is_another() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    log.look(5, stored=5)
    assert log.short == [(0, 5, 2, FIRING)]
    log.look(11, stored=11)
    assert log.short == [(0, 5, 2, RESOLVED), (11, 11, 1, FIRING)]


def test_one_that_is_over_already_when_it_is_seen_fires_and_is_resolved_at_once() -> None:
    log = Log()
    [row] = log.look(0, 1, stored=10)
    assert (row["state"], row["ended_because"], row["sent"]) == (RESOLVED, "below again", True)
    assert row["fired_at"] == row["resolved_at"] == at(11) + timedelta(seconds=5)


def test_before_it_was_above_for_long_enough_it_is_pending_and_not_sent() -> None:
    log = Log(for_minutes=3)
    [row] = log.look(0, stored=0)
    assert (row["state"], row["fired_at"], row["sent"]) == (PENDING, None, False)
    log.look(1, stored=1)
    assert log.short == [(0, 1, 2, PENDING)]
    [row] = log.look(2, stored=2)
    assert log.short == [(0, 2, 3, FIRING)]
    assert (row["fired_at"], row["sent"]) == (at(3) + timedelta(seconds=5), True)


def test_a_pending_one_is_over_with_the_first_minute_that_is_not_above() -> None:
    log = Log(for_minutes=3, resolve_after_minutes=5)
    log.look(0, 1, stored=1)
    [row] = log.look(stored=2)
    assert log.short == [(0, 1, 2, RESOLVED)]
    assert (row["fired_at"], row["sent"], row["ended_because"]) == (None, False, "below again")
    log.look(3, 4, stored=4)  # two and two are not three in a row
    assert log.short == [(0, 1, 2, RESOLVED), (3, 4, 2, PENDING)]
    log.look(5, stored=5)
    assert log.short == [(0, 1, 2, RESOLVED), (3, 5, 3, FIRING)]


def test_runs_that_were_too_short_seen_all_at_once_never_fire() -> None:
    log = Log(for_minutes=3)
    log.look(0, 1, 3, 4, 6, 7, stored=8)
    assert [state for *_, state in log.short] == [RESOLVED] * 3
    assert not any(row["fired_at"] or row["sent"] for row in log.rows.values())


def test_once_it_fires_a_single_minute_above_is_enough_to_go_on() -> None:
    log = Log(for_minutes=2)
    log.look(0, 1, stored=1)
    log.look(4, stored=4)
    assert log.short == [(0, 4, 3, FIRING)]


def test_without_data_for_a_whole_window_it_is_over_for_want_of_data() -> None:
    log = Log(window_minutes=60)
    log.look(0, stored=0)
    assert log.look(stored=0, now=59) == []
    [row] = log.look(stored=0, now=60)
    assert (row["state"], row["ended_because"]) == (RESOLVED, "no data since 2026-03-03 12:01 UTC")


def test_one_of_a_metric_without_a_stored_minute_of_late_waits_for_a_window_too() -> None:
    log = Log(window_minutes=60)
    log.look(0, stored=0)
    assert log.look(stored=None, now=59) == []
    [row] = log.look(stored=None, now=60)
    assert row["ended_because"] == "no data since 2026-03-03 12:01 UTC"


def test_the_wait_for_data_is_never_shorter_than_that_for_quiet() -> None:
    log = Log(window_minutes=2, min_points=1, resolve_after_minutes=30)
    log.look(0, stored=0)
    assert log.look(stored=0, now=29) == []
    [row] = log.look(stored=0, now=30)
    assert row["ended_because"] == "no data since 2026-03-03 12:01 UTC"


def test_an_alert_of_a_metric_nobody_tracks_any_more_is_over() -> None:
    log = Log()
    log.look(0, above(0, metric=ETH), stored=0)
    [row] = log.look(stored=1, tracked=[ETH])
    assert (row["metric"], row["state"], row["ended_because"]) == (BTC, RESOLVED, "no longer judged")


def test_an_alert_of_a_rule_that_was_removed_is_over() -> None:
    log = Log()
    log.look(0, stored=0)
    log.rules = {"another": AlertRule(name="another")}
    [row] = log.look(stored=1)
    assert (row["state"], row["ended_because"]) == (RESOLVED, "no longer judged")


def test_rules_metrics_and_measures_have_alerts_of_their_own() -> None:
    log = Log()
    log.rules["other"] = AlertRule(name="other")
    others = above(1, metric=ETH), above(1, measure="price"), above(1, rule="other")
    assert len(log.look(0, *others, stored=1)) == 4
    assert [minutes for _, _, minutes, _ in log.short] == [1] * 4


@pytest.mark.parametrize(("age", "sent"), [(0, True), (14, True), (15, False), (600, False)])
def test_what_was_old_when_it_was_seen_is_recorded_and_not_sent(age: int, sent: bool) -> None:
    # minute 0 ended 5 s and `age` minutes ago: 15 minutes and 5 seconds are more than 15 minutes
    log = Log()
    [row] = log.look(0, stored=age)
    assert row["sent"] is sent
    assert row["fired_at"] is not None


def test_of_one_that_has_to_last_the_minute_in_which_it_fires_says_how_old_it_is() -> None:
    [row] = Log(for_minutes=10).look(*range(10), stored=20)  # minute 9 ended 11 minutes ago, minute 0 20
    assert row["sent"]


def test_a_healed_minute_after_an_alert_joins_it() -> None:
    log = Log()
    log.look(0, stored=0)
    log.look(stored=10)
    log.look(4, stored=10)
    assert log.short == [(0, 4, 2, RESOLVED)]


def test_a_healed_minute_before_an_alert_joins_it_and_its_id_stays() -> None:
    log = Log()
    [row] = log.look(10, stored=10)
    log.look(7, stored=10)
    assert list(log.rows) == [row["id"]]
    assert log.short == [(7, 10, 2, FIRING)]  # it began before
    log.look(1, stored=10)  # more than five before the first: another
    assert len(log.rows) == 2


def test_a_healed_minute_with_a_higher_peak_is_the_peak() -> None:
    log = Log()
    log.look(above(10, 4.0), stored=10)
    log.look(above(9, 8.0), stored=10)
    [row] = log.rows.values()
    assert (row["peak_ratio"], row["peak_minute"], row["ratio"]) == (8.0, at(9), 4.0)


def test_a_minute_healed_after_its_pending_alert_was_over_makes_it_fire_after_all() -> None:
    log = Log(for_minutes=3)
    log.look(0, 1, stored=1)
    log.look(stored=4)  # minute 2 is late
    assert log.short == [(0, 1, 2, RESOLVED)]
    log.look(0, 1, 2, stored=4)
    [row] = log.rows.values()
    assert row["fired_at"] is not None
    assert (row["sent"], row["minutes"]) == (True, 3)


def test_minutes_healed_before_a_pending_alert_make_it_fire() -> None:
    log = Log(for_minutes=3)
    log.look(2, stored=2)  # 0 and 1 are late
    assert [state for *_, state in log.short] == [PENDING]
    log.look(0, 1, 2, stored=2)  # three in a row
    assert [state for *_, state in log.short] == [FIRING]


def test_a_gap_within_an_alert_that_is_healed_counts() -> None:
    log = Log()
    log.look(0, 3, stored=3)
    log.look(0, 1, 2, 3, stored=3)
    assert log.short == [(0, 3, 4, FIRING)]


def test_what_is_above_again_after_it_was_resolved_and_near_enough_fires_once_more() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    [over] = log.look(stored=5)
    assert over["state"] == RESOLVED
    [again] = log.look(above(5, 6.0), stored=6)  # minute 5 was corrected
    assert (again["id"], again["state"], again["peak_ratio"], again["sent"]) == (over["id"], FIRING, 6.0, True)
    assert (again["fired_at"], again["resolved_at"]) == (at(7) + timedelta(seconds=5), None)
    [over] = log.look(stored=10)
    assert (over["state"], over["ended_because"], over["minutes"]) == (RESOLVED, "below again", 2)


def test_what_fires_once_more_of_old_minutes_is_not_sent() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    log.look(stored=5)
    [again] = log.look(5, stored=60)  # late by an hour
    assert (again["state"], again["sent"], again["last_minute"]) == (RESOLVED, False, at(5))


def test_minutes_without_data_are_not_minutes_below() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    gap = range(1, 12)
    assert log.look(stored=0, now=11) == []
    log.look(12, stored=12, missing=gap)
    assert log.short == [(0, 12, 2, FIRING)]
    log.look(*gap, stored=12)  # it comes after all, and all of it was above
    assert [(state, minutes) for *_, minutes, state in log.short] == [(FIRING, 13)]


def test_after_a_gap_so_many_minutes_below_end_it() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    gap = range(3, 12)
    assert log.look(stored=13, missing=gap) == []
    [row] = log.look(stored=14, missing=gap)  # 1, 2, 12, 13 and 14 are below
    assert row["ended_because"] == "below again"


def test_one_of_which_every_minute_was_corrected_is_over_as_such_and_keeps_what_it_said() -> None:
    log = Log()
    log.look(above(0, 4.0), stored=0)
    [row] = log.look(stored=1, corrected=[0])
    assert (row["state"], row["ended_because"]) == (RESOLVED, "corrected")
    assert (row["ratio"], row["minutes"], row["peak_ratio"]) == (4.0, 1, 4.0)


def test_one_that_was_corrected_away_and_is_above_after_all_fires_again() -> None:
    log = Log()
    log.look(above(0, 4.0), stored=0)
    log.look(stored=1, corrected=[0])
    [row] = log.look(above(0, 6.0), stored=2)
    assert (row["state"], row["ended_because"], row["resolved_at"]) == (FIRING, None, None)
    assert (row["fired_at"], row["sent"]) == (at(3) + timedelta(seconds=5), True)
    assert (row["minutes"], row["peak_ratio"]) == (1, 6.0)


def test_of_one_that_was_corrected_away_nothing_counts_for_what_is_near_it() -> None:
    for near in (1, -1):
        log = Log()
        log.look(above(0, 9.0), stored=0)
        log.look(stored=1, corrected=[0])
        [row] = log.look(above(near, 4.0), stored=2)
        assert (row["state"], row["minutes"], row["last_minute"]) == (FIRING, 1, at(near))
        assert (row["peak_ratio"], row["peak_minute"]) == (4.0, at(near))


def test_one_goes_on_where_another_minute_takes_the_place_of_one_that_is_corrected() -> None:
    log = Log()
    log.look(above(0, 4.0), stored=0)
    log.look(above(1, 5.0), stored=1, corrected=[0])
    [row] = log.rows.values()
    assert (row["state"], row["minutes"], row["last_minute"]) == (FIRING, 1, at(1))
    assert row["fired_at"] == at(1) + timedelta(seconds=5)  # nothing is to be told anew


def test_one_that_a_larger_factor_takes_away_was_not_corrected() -> None:
    log = Log()
    log.look(above(0, 4.0), stored=0)
    log.rules = {"spike": AlertRule(factor=5)}
    [row] = log.look(stored=1, corrected=[0])
    assert (row["state"], row["ended_because"]) == (RESOLVED, "not above the factor 5 of now")


def test_minutes_last_one_and_peak_agree_after_a_correction() -> None:
    log = Log()
    log.look(above(0, 4.0), above(1, 9.0), above(3, 5.0), stored=3)
    [row] = log.look(stored=3, corrected=[1])
    assert (row["minutes"], row["last_minute"], row["peak_minute"]) == (2, at(3), at(3))
    [row] = log.look(stored=3, corrected=[3])
    assert (row["minutes"], row["last_minute"], row["state"]) == (1, at(0), FIRING)


def test_one_that_was_corrected_and_is_above_after_all_fires_again_with_what_is_above_now() -> None:
    log = Log()
    log.look(above(0, 4.0), above(1, 9.0), above(2, 5.0), stored=2)
    [row] = log.look(stored=3, corrected=[0, 1, 2])
    assert row["ended_because"] == "corrected"
    [row] = log.look(above(1, 7.0), stored=4)
    assert (row["state"], row["ended_because"], row["sent"], row["fired_at"]) == (FIRING, None, True, after(4))
    assert (row["minute"], row["minutes"], row["peak_ratio"], row["resolved_at"]) == (at(1), 1, 7.0, None)


def test_one_that_is_over_and_of_which_all_is_corrected_counts_no_more_when_it_fires_again() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    [over] = log.look(stored=5)
    [row] = log.look(stored=6, corrected=[0])
    assert row == {**over, "ended_because": "corrected"}  # told already: it stays as it was
    [row] = log.look(4, stored=6)
    assert (row["state"], row["minute"], row["minutes"]) == (FIRING, at(4), 1)


def test_a_pending_one_that_was_corrected_does_not_make_the_next_minute_fire() -> None:
    log = Log(for_minutes=2)
    log.look(0, stored=0)
    log.look(stored=0, corrected=[0])
    log.look(1, stored=1)
    assert log.short == [(1, 1, 1, PENDING)]
    log.look(2, stored=2)
    assert log.short == [(1, 2, 2, FIRING)]


def test_late_minutes_before_one_that_are_above_in_its_stead_are_it() -> None:
    log = Log()
    log.look(above(10, 8.0), stored=10, missing=range(6, 10))
    [row] = log.look(*(above(minute, 40.0) for minute in range(6, 10)), stored=10, corrected=[10])
    assert (row["state"], row["minute"], row["last_minute"], row["minutes"]) == (FIRING, at(6), at(9), 4)
    assert (row["peak_ratio"], row["peak_minute"]) == (40.0, at(6))


def test_no_two_alerts_have_one_id_although_one_began_later_than_it_seemed() -> None:
    log = Log(resolve_after_minutes=3)
    log.look(*range(11), stored=10)
    log.look(stored=11, corrected=range(10))
    assert log.short == [(10, 10, 1, FIRING)]
    log.look(0, stored=11)
    assert log.short == [(0, 10, 2, FIRING)]


@pytest.mark.parametrize(
    ("rules", "because"),
    [
        ({"spike": AlertRule(factor=50)}, "not above the factor 50 of now"),
        ({}, "no longer judged"),
        ({"spike": AlertRule(measures=("price",))}, "no longer judged"),
    ],
)
def test_one_of_which_nothing_is_above_by_the_rule_of_now_is_not_called_corrected(
    rules: dict[str, AlertRule], because: str
) -> None:
    log = Log()
    log.look(0, stored=0)
    log.rules = rules
    [row] = log.look(stored=1, corrected=[0])
    assert (row["state"], row["ended_because"]) == (RESOLVED, because)


def test_one_of_which_no_minute_can_be_judged_any_more_is_not_called_corrected() -> None:
    log = Log()
    log.look(0, stored=0)
    [row] = log.look(stored=1, corrected=[0], missing=[0])  # fewer values than min_points of now
    assert (row["state"], row["ended_because"]) == (RESOLVED, "no longer judged")


def test_one_whose_rule_is_no_longer_for_its_measure_or_metric_is_no_longer_judged() -> None:
    for narrowed in (AlertRule(measures=("price",)), AlertRule(metrics=("KRAKEN:E*",))):
        log = Log()
        log.look(0, stored=0)
        log.rules = {"spike": narrowed}
        [row] = log.look(stored=1)
        assert (row["state"], row["ended_because"]) == (RESOLVED, "no longer judged")


def test_one_that_a_larger_factor_ends_was_not_seen_below_its_own() -> None:
    log = Log(factor=3.0)
    log.look(0, stored=0)
    log.rules = {"spike": AlertRule(factor=50)}
    [row] = log.look(stored=5)
    assert row["ended_because"] == "not above the factor 50 of now"


def test_while_the_newest_minutes_are_above_some_alert_is_not_resolved() -> None:
    log = Log(window_minutes=5, min_points=1)
    log.look(0, stored=0)
    log.look(stored=0, now=5)
    assert log.short == [(0, 0, 1, RESOLVED)]  # no data
    log.look(1, 2, 3, 4, 5, stored=5)  # they come after all, and it was above all the time
    log.look(6, stored=6)
    assert any(state == FIRING for *_, state in log.short)


def test_of_two_alerts_that_healed_minutes_bring_together_the_open_one_goes_on() -> None:
    log = Log(resolve_after_minutes=5)
    log.look(0, stored=0)
    log.look(11, stored=11)  # 1 to 10 are missing
    assert log.short == [(0, 0, 1, RESOLVED), (11, 11, 1, FIRING)]
    log.look(*range(12), stored=11)
    for minute in range(12, 20):
        log.look(minute, stored=minute)
    assert any(state == FIRING for *_, state in log.short)


def test_recorded_rows_are_not_changed_in_place() -> None:
    log = Log()
    log.look(0, stored=0)
    [row] = log.rows.values()
    before = dict(row)
    log.look(1, stored=1)
    assert row == before


def groups(minutes: Iterable[int], reach: int) -> list[list[int]]:
    """Part minutes where the next is more than ``reach`` away."""
    parted: list[list[int]] = []
    for minute in sorted(minutes):
        if parted and minute - parted[-1][-1] <= reach:
            parted[-1].append(minute)
        else:
            parted.append([minute])
    return parted


@given(
    minutes=st.sets(st.integers(0, 60)),
    ends=st.sets(st.integers(0, 60)),
    resolve_after=st.integers(1, 9),
    overlap=st.integers(0, 3),
)
def test_minutes_seen_at_once_or_in_any_portions_make_the_same_alerts(
    minutes: set[int], ends: set[int], resolve_after: int, overlap: int
) -> None:
    expected = [(own[0], own[-1], len(own)) for own in groups(minutes, resolve_after)]
    log = Log(resolve_after_minutes=resolve_after)
    for begin, end in pairwise([-1, *sorted(ends - {60}), 60]):
        seen = [minute for minute in minutes if begin - overlap < minute <= end]
        log.look(*seen, stored=end)
    assert [row[:3] for row in log.short] == expected
    assert sorted(log.rows) == sorted(alert_id(("spike", BTC, "volume"), at(first)) for first, _, _ in expected)
    at_once = Log(resolve_after_minutes=resolve_after)
    at_once.look(*minutes, stored=60)
    assert at_once.short == log.short
    assert log.look(*minutes, stored=60) == []  # nor does seeing it all again change anything


@given(
    minutes=st.sets(st.integers(0, 40)),
    ends=st.sets(st.integers(0, 40)),
    long=st.integers(2, 4),
    near=st.integers(1, 6),
)
def test_the_minute_at_which_one_fires_does_not_depend_on_the_portions_either(
    minutes: set[int], ends: set[int], long: int, near: int
) -> None:
    log = Log(for_minutes=long, resolve_after_minutes=near)
    for begin, end in pairwise([-1, *sorted(ends - {40}), 40]):
        log.look(*(minute for minute in minutes if begin < minute <= end), stored=end)
    at_once = Log(for_minutes=long, resolve_after_minutes=near)
    at_once.look(*minutes, stored=40)
    assert at_once.short == log.short
    expected, last = [], -99  # first minutes of what must fire
    for run in groups(minutes, 1):
        if run[0] <= last + near:
            last = run[-1]
        elif len(run) >= long:
            expected.append(run[0])
            last = run[-1]
    assert sorted(after_noon(row["minute"]) for row in log.rows.values() if row["fired_at"]) == expected
