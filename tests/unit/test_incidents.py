"""From missed minutes to incidents: one outage, as a person sees it, is one."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricetracker_dagster.alerts.incidents.model import OPEN, RESOLVED, Missed, Noted, ReviewContext, incident_id
from pricetracker_dagster.alerts.incidents.review import review
from pricetracker_dagster.candles.minutes import MINUTE, MinuteRange
from pricetracker_dagster.store.records import NOT_RUN, Row
from pricetracker_dagster.store.schema import INCIDENTS

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
NOW = NOON + timedelta(hours=3)
BTC, ETH, XRP = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:XRPUSD"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


LISTED = dict.fromkeys((BTC, ETH, XRP), NOON - timedelta(days=3))


def missed(
    first: int,
    last: int,
    *metrics: str,
    absent: bool = True,
    cause: str = "exchange error",
    reason: str | None = "HTTP 502",
) -> Missed:
    noted = Noted(cause, last - first + 1, at(first), at(last), reason)
    return Missed(at(first), at(last), metrics or (BTC,), [noted], absent)


def seen(newest: int, **other: Any) -> ReviewContext:
    """What is known when a minute is closed."""
    oldest = at(newest) - timedelta(days=1) + MINUTE
    known = ReviewContext(now=at(newest + 1), newest=at(newest), oldest=oldest, since=LISTED)
    return replace(known, **other)


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


class Story:
    """Which minutes of whom fail, and what looks make of it. Recorded incidents are carried from look to look."""

    def __init__(self, since: dict[str, datetime] | None = None, resolve_after: int = 5) -> None:
        self.since, self.resolve_after = since or LISTED, resolve_after
        self.failed: dict[str, dict[int, str]] = {}
        self.healed: set[tuple[str, int]] = set()
        self.rows: dict[str, Row] = {}
        self.changed: list[Row] = []

    def fail(self, minutes: Iterable[int], *metrics: str, cause: str = "exchange error") -> None:
        for minute in minutes:
            for metric in metrics or (BTC,):
                self.failed.setdefault(metric, {})[minute] = cause

    def heal(self) -> None:
        self.healed = {(metric, minute) for metric, minutes in self.failed.items() for minute in minutes}

    def look(self, newest: int, **other: Any) -> list[Row]:
        """Look when a minute is closed; return the incidents, by first minute."""
        known = seen(newest, since=self.since, resolve_after=self.resolve_after * MINUTE, **other)
        alike: dict[tuple[int, bool, str], list[str]] = {}
        for metric, minutes in self.failed.items():
            for minute, cause in minutes.items():
                if known.oldest <= at(minute) <= known.newest:
                    alike.setdefault((minute, (metric, minute) not in self.healed, cause), []).append(metric)
        found = [
            missed(minute, minute, *metrics, absent=absent, cause=cause)
            for (minute, absent, cause), metrics in alike.items()
        ]
        recent = [row for row in self.rows.values() if row["state"] == OPEN or row["last"] >= known.oldest]
        self.changed = review(found, recent, replace(known, taken=self.rows))
        self.rows |= {row["id"]: row for row in self.changed}
        assert review(found, self.current(known.oldest), replace(known, taken=self.rows)) == []  # twice is once
        return self.incidents()

    def current(self, oldest: datetime) -> list[Row]:
        return [row for row in self.rows.values() if row["state"] == OPEN or row["last"] >= oldest]

    def incidents(self) -> list[Row]:
        return sorted(self.rows.values(), key=lambda row: (row["first"], row["id"]))


def spans(rows: Iterable[Row]) -> list[tuple[int, int, list[str], str]]:
    return [
        ((row["first"] - NOON) // MINUTE, (row["last"] - NOON) // MINUTE, row["metrics"], row["state"]) for row in rows
    ]


PAIRS = tuple(f"KRAKEN:M{i:02}USD" for i in range(6))
ALL = dict.fromkeys((BTC, *PAIRS), NOON - timedelta(days=3))


def test_missed_minutes_open_an_incident_with_all_that_is_known() -> None:
    [opened] = review([missed(0, 4, ETH, BTC)], [], seen(4))
    assert list(opened) == INCIDENTS.names
    assert opened == {
        "id": "exchange error|2026-03-03T12:00Z",
        "state": OPEN,
        "cause": "exchange error",
        "reason": "HTTP 502",
        "first": at(0),
        "last": at(4),
        "count": 5,
        "metrics": [BTC, ETH],
        "missing": 10,
        "opened_at": at(5),
        "resolved_at": None,
        "causes": '{"exchange error": 10}',
        "out": [BTC, ETH],
        "told_out": None,
        "grown_at": at(0),
        "flaps": False,
        "exchange": "KRAKEN",
        "held_by": None,
        "transitions": 0,
    }


def test_what_nobody_has_said_anything_of_has_a_reason_all_the_same() -> None:
    [opened] = review([missed(0, 0, cause=NOT_RUN, reason=None)], [], seen(2))
    assert opened["reason"] == "no tick was run for them"


def test_nothing_missed_and_nothing_open_is_nothing_to_record() -> None:
    assert review([], [], seen(0)) == []


def test_rows_that_were_handed_in_are_not_changed_and_keep_what_is_told_of_them() -> None:
    before = row(0, 4, transitions=3, held_by="silence 1")
    [after] = review([missed(0, 4), missed(5, 5, ETH)], [before], seen(5))
    assert before == row(0, 4, transitions=3, held_by="silence 1")
    assert (after["transitions"], after["held_by"], after["opened_at"]) == (3, "silence 1", before["opened_at"])


# One outage is one incident


def test_causes_that_alternate_are_one_incident_that_counts_them() -> None:
    story = Story()
    for minute in range(9):
        story.fail([minute], BTC, ETH, cause="exchange error" if minute % 2 else "exchange maintenance")
        [incident] = story.look(minute)
    assert incident["id"] == "exchange maintenance|2026-03-03T12:00Z"
    assert incident["causes"] == '{"exchange maintenance": 10, "exchange error": 8}'
    assert (incident["count"], incident["cause"], incident["flaps"]) == (9, "exchange maintenance", False)


def test_the_cause_is_that_of_most_minutes_and_the_id_stays() -> None:
    story = Story()
    story.fail([0], cause="exchange maintenance")
    story.look(0)
    story.fail(range(1, 4))
    [incident] = story.look(3)
    assert (incident["id"], incident["cause"]) == ("exchange maintenance|2026-03-03T12:00Z", "exchange error")
    assert incident["causes"] == '{"exchange error": 3, "exchange maintenance": 1}'


def test_a_tick_that_fails_every_other_minute_is_one_incident_that_flaps() -> None:
    story = Story()
    for minute in range(21):
        if minute % 2 == 0:
            story.fail([minute], BTC, ETH)
        [incident] = story.look(minute)
        assert (incident["state"], incident["flaps"]) == (OPEN, minute >= 4)
    assert (incident["count"], incident["missing"]) == (11, 22)
    assert [story.look(minute)[0]["state"] for minute in range(21, 26)] == [OPEN, OPEN, OPEN, OPEN, RESOLVED]
    assert story.incidents()[0]["flaps"]


@pytest.mark.parametrize(("pause", "incidents"), [(4, 1), (5, 2)])
def test_an_incident_is_over_after_so_many_minutes_without_a_miss(pause: int, incidents: int) -> None:
    story = Story()
    for minute in range(12):
        if minute in (0, 1 + pause):
            story.fail([minute])
        story.look(minute)
    assert len(story.incidents()) == incidents


def test_a_miss_that_may_still_come_is_no_stored_minute() -> None:
    story = Story()
    story.fail([0])
    [incident] = story.look(5, waiting={BTC: [MinuteRange(at(4), at(5))]})
    assert incident["out"] == [BTC]
    [incident] = story.look(6)
    assert incident["state"] == RESOLVED


def test_an_outage_that_was_over_before_anybody_looked_is_opened_and_resolved_at_once() -> None:
    story = Story()
    story.fail(range(5), BTC, ETH, cause=NOT_RUN)
    story.heal()
    [incident] = story.look(20)
    assert (incident["state"], incident["out"], incident["missing"], incident["count"]) == (RESOLVED, [], 0, 5)
    assert incident["opened_at"] == incident["resolved_at"] == at(21)
    assert incident["exchange"] is None  # this machine was off


# Whose minutes they are


def test_a_pair_that_is_broken_for_hours_swallows_nobody() -> None:
    story = Story(ALL)
    for minute in range(180):
        story.fail([minute], BTC)
        if 61 <= minute <= 90:
            story.fail([minute], *PAIRS)
        story.look(minute)
    assert spans(story.incidents()) == [(0, 179, [BTC], OPEN), (61, 90, [*PAIRS], RESOLVED)]
    assert [each["exchange"] for each in story.incidents()] == [None, "KRAKEN"]


def test_a_pair_that_is_delisted_an_hour_into_an_outage_is_an_incident_at_once() -> None:
    story = Story(ALL)
    for minute in range(75):
        story.fail([minute], *PAIRS[1:])
        if minute >= 60:
            story.fail([minute], PAIRS[0], cause="pair unknown")
        story.look(minute)
    assert spans(story.incidents()) == [(0, 74, [*PAIRS[1:]], OPEN), (60, 74, [PAIRS[0]], OPEN)]


@pytest.mark.parametrize(("later", "incidents"), [(5, 1), (6, 2)])
def test_a_growing_outage_is_joined_for_a_while(later: int, incidents: int) -> None:
    story = Story()
    for minute in range(20):
        story.fail([minute], BTC)
        if minute >= later:
            story.fail([minute], ETH)
        story.look(minute)
    assert len(story.incidents()) == incidents
    assert story.incidents()[0]["grown_at"] == at(later if incidents == 1 else 0)


def test_an_outage_that_grows_slowly_goes_on_growing() -> None:
    story = Story(ALL)
    for minute in range(24):
        story.fail([minute], *PAIRS[: 1 + minute // 4])
        story.look(minute)
    [incident] = story.incidents()
    assert (incident["out"], incident["exchange"]) == ([*PAIRS], "KRAKEN")


def test_those_that_are_back_leave_and_may_come_back_as_an_outage_of_their_own() -> None:
    story = Story(ALL)
    for minute in range(120):
        story.fail([minute], BTC)
        if minute < 10 or minute >= 100:
            story.fail([minute], *PAIRS)
        story.look(minute)
        if minute in (13, 14, 50):
            [incident] = story.incidents()
            assert incident["out"] == ([BTC] if minute > 13 else [BTC, *PAIRS])
            assert incident["metrics"] == [BTC, *PAIRS]
            assert incident["exchange"] == (None if minute > 13 else "KRAKEN")  # one pair is not the exchange
    assert spans(story.incidents()) == [(0, 119, [BTC, *PAIRS], OPEN), (100, 119, [*PAIRS], OPEN)]


def test_one_that_left_a_moment_ago_comes_back_to_the_same_incident() -> None:
    story = Story()
    for minute in range(30):
        story.fail([minute], BTC)
        if minute in (0, 1, 8):
            story.fail([minute], ETH)
        story.look(minute)
        outs = {7: [BTC], 8: [BTC, ETH], 13: [BTC]}
        if minute in outs:
            assert story.incidents()[0]["out"] == outs[minute]
    assert len(story.incidents()) == 1


def test_minutes_of_one_that_left_stay_where_they_were_when_it_joins_another() -> None:
    """Else a second look would find them elsewhere, and change the rows: Story.look() says that none does."""
    story = Story(ALL)
    for minute in range(30):
        story.fail([minute], BTC)
        if minute in (0, 4, 8) or minute >= 19:
            story.fail([minute], PAIRS[0])
        for joins, metric in ((7, PAIRS[1]), (12, PAIRS[2]), (17, PAIRS[3])):
            if minute >= joins:
                story.fail([minute], metric)
        story.look(minute)
    assert spans(story.incidents()) == [(0, 29, [BTC, PAIRS[0]], OPEN), (7, 29, [*PAIRS[:4]], OPEN)]
    counts = [json.loads(each["causes"])["exchange error"] for each in story.incidents()]
    assert counts == [30 + 3, 23 + 18 + 13 + 11]


def test_two_exchanges_that_fail_at_once_are_two_outages_and_a_machine_that_stops_is_one() -> None:
    elsewhere = "OTHER:BTCUSD", "OTHER:ETHUSD"
    since = LISTED | dict.fromkeys(elsewhere, NOON - timedelta(days=3))
    for cause, incidents in (
        ("exchange error", 2),
        (NOT_RUN, 1),
        ("run failed", 1),
        ("not stored", 1),
        ("own mistake", 1),
    ):
        story = Story(since)
        story.fail(range(3), BTC, ETH, *elsewhere, cause=cause)
        assert len(story.look(2)) == incidents
        assert {row["exchange"] for row in story.incidents()} == ({None} if incidents == 1 else {"KRAKEN", "OTHER"})


@pytest.mark.parametrize(
    ("metrics", "reason", "exchange"),
    [
        ((BTC,), "HTTP 502", None),
        ((BTC, ETH), "HTTP 502", "KRAKEN"),
        ((BTC,), "KRAKEN: Time: HTTP 502", "KRAKEN"),
        ((BTC,), "KRAKEN: by its clock it is 12:00:10, the minute is not over", "KRAKEN"),
        ((BTC,), "KRAKEN's clock says 11:00:10, this machine's 12:01:05: the minute is not over there", "KRAKEN"),
        ((BTC,), "KRAKEN: OHLC: Time: no", None),
    ],
)
def test_an_exchange_that_is_out_as_a_whole_is_named(
    metrics: tuple[str, ...], reason: str, exchange: str | None
) -> None:
    [incident] = review([missed(0, 0, *metrics, reason=reason)], [], seen(0))
    assert incident["exchange"] == exchange
    [over] = review([missed(0, 0, *metrics, reason=reason)], [incident], seen(9))
    assert (over["state"], over["exchange"]) == (RESOLVED, exchange)


BANNED, REFUSED = "banned by the exchange", "refused by the exchange"
COIN, COIN_ETHER = "COINBASE:BTCUSD", "COINBASE:ETH/USD"
MADE_UP = "SIMULATED_COINBASE:BTCUSD"


@pytest.mark.parametrize(
    ("metric", "cause", "reason", "is_out"),
    [
        (COIN, "exchange error", "COINBASE: time: HTTP 502", True),
        (COIN, "exchange error", "COINBASE: markets: no connection", True),
        (COIN, "exchange error", "COINBASE: candles of BTCUSD: HTTP 502", False),
        (COIN, "exchange error", "KRAKEN: Time: HTTP 502", False),  # another's
        (COIN_ETHER, "exchange error", "COINBASE: candles of ETH/USD: HTTP 502", False),
        (COIN_ETHER, "exchange maintenance", "COINBASE: candles of ETH/USD: it is halted", False),
        (COIN_ETHER, "exchange maintenance", "COINBASE: time: maintenance until 13:00: sorry", True),
        (COIN_ETHER, BANNED, "COINBASE: candles of ETH/USD: HTTP 418, banned for a while", True),
        (COIN, BANNED, "COINBASE: not asked: it has banned this address, for 600 s more", True),
        (COIN, REFUSED, "COINBASE: candles of BTCUSD: HTTP 451: https://x answers nobody from here", True),
        (MADE_UP, "exchange error", "SIMULATED_COINBASE: time: HTTP 502", True),
        (MADE_UP, "exchange error", "SIMULATED: Time: HTTP 502", False),
        (MADE_UP, "exchange maintenance", "SIMULATED_COINBASE: candles of BTCUSD: it is halted", False),
        (MADE_UP, "exchange maintenance", "SIMULATED_COINBASE: system status: maintenance", True),
    ],
)
def test_any_exchange_says_by_its_answer_that_it_is_out_as_a_whole(
    metric: str, cause: str, reason: str, is_out: bool
) -> None:
    """One of four metrics is missed so far."""
    exchange = metric.partition(":")[0]
    others = [f"{exchange}:{base}USD" for base in ("ADA", "SOL", "XRP")]
    since = dict.fromkeys((metric, *others), NOON - timedelta(days=3))
    [incident] = review([missed(0, 0, metric, cause=cause, reason=reason)], [], seen(0, since=since))
    assert (incident["exchange"], incident["metrics"]) == (exchange if is_out else None, [metric])


@pytest.mark.parametrize(
    ("cause", "reason", "is_out"),
    [
        ("exchange error", "COINBASE: candles of BTCUSD: HTTP 502", True),
        (BANNED, "COINBASE: candles of BTCUSD: HTTP 418, banned for a while", True),
        ("exchange maintenance", "COINBASE: time: down", True),
        ("exchange maintenance", "COINBASE: candles of BTCUSD: halted", False),
        ("pair unknown", 'pricetracker.toml: metrics[1] "COINBASE:BTCUSD": no such pair on COINBASE', False),
        ("refused rows", "1 row is no candle", False),
        ("not run", None, False),
        ("own mistake", "COINBASE: time: a mistake", False),
    ],
)
def test_an_exchange_with_a_single_metric_is_out_by_it_unless_that_metric_alone_is_concerned(
    cause: str, reason: str | None, is_out: bool
) -> None:
    since = LISTED | {COIN: NOON - timedelta(days=3)}
    [incident] = review([missed(0, 0, COIN, cause=cause, reason=reason)], [], seen(0, since=since))
    assert (incident["exchange"], incident["metrics"]) == ("COINBASE" if is_out else None, [COIN])


def test_exchanges_that_fail_for_different_reasons_at_once_are_each_an_incident_while_another_goes_on() -> None:
    since = LISTED | dict.fromkeys((COIN, COIN_ETHER, "OKX:BTCUSD", "GEMINI:BTCUSD"), NOON - timedelta(days=3))
    story = Story(since)
    story.fail(range(3), COIN, COIN_ETHER, cause=BANNED)
    story.fail(range(3), "OKX:BTCUSD", cause=REFUSED)
    story.fail(range(3), BTC, ETH, cause="exchange error")
    story.look(2)
    found = {row["exchange"]: (row["cause"], row["metrics"], row["out"]) for row in story.incidents()}
    assert found == {
        "COINBASE": (BANNED, [COIN, COIN_ETHER], [COIN, COIN_ETHER]),
        "OKX": (REFUSED, ["OKX:BTCUSD"], ["OKX:BTCUSD"]),
        "KRAKEN": ("exchange error", [BTC, ETH], [BTC, ETH]),
    }


@pytest.mark.parametrize(
    ("reason", "exchange"),
    [("KRAKEN: OHLC of BTCUSD: EService:Market in cancel_only mode", None), ("SystemStatus: maintenance", "KRAKEN")],
)
def test_one_market_in_maintenance_is_not_its_exchange(reason: str, exchange: str | None) -> None:
    found = missed(0, 0, BTC, cause="exchange maintenance", reason=reason)
    [incident] = review([found], [], seen(0))
    assert incident["exchange"] == exchange


# What can never be had


def test_a_minute_that_can_never_be_had_is_over_and_stands_as_lost_for_ever() -> None:
    story = Story()
    story.fail([0], cause="refused rows")
    states = [story.look(minute)[0]["state"] for minute in range(7)]
    assert states == [*[OPEN] * 5, RESOLVED, RESOLVED]
    for minute in range(7, 26 * 60, 13):
        story.look(minute)
        assert not story.changed
    [lost] = story.incidents()
    assert (lost["missing"], lost["resolved_at"]) == (1, at(6))


def test_what_is_lost_opens_nothing_when_its_metric_is_listed_again() -> None:
    story = Story(dict(LISTED))
    story.fail(range(3), BTC)
    story.look(2)
    del story.since[BTC]
    [incident] = story.look(3)
    assert (incident["state"], incident["missing"]) == (RESOLVED, 3)
    story.fail(range(3, 8), BTC)  # asked for by hand
    story.look(6)
    story.since[BTC] = at(8)
    for minute in range(7, 12):
        story.look(minute)
        assert not story.changed
    story.fail([12])
    assert spans(story.look(12)) == [(0, 2, [BTC], RESOLVED), (12, 12, [BTC], OPEN)]


def test_what_is_healed_later_is_no_longer_lost_and_changes_nothing_else() -> None:
    story = Story()
    story.fail(range(3), BTC)
    [before] = story.look(10)
    story.healed = {(BTC, 1)}
    [after] = story.look(11)
    assert after == {**before, "missing": 2}


def test_a_minute_that_was_there_and_is_gone_again_is_news() -> None:
    story = Story()
    story.fail([0])
    story.heal()
    story.look(10)
    story.healed.clear()
    assert [(each["id"], each["missing"]) for each in story.look(11)] == [
        ("exchange error|2026-03-03T12:00Z", 0),
        ("exchange error|2026-03-03T12:00Z+", 1),
    ]


# For long


def test_an_outage_of_three_days_is_one_incident_that_counts_all_its_minutes() -> None:
    story = Story()
    for minute in range(0, 3 * 24 * 60, 180):
        story.fail(range(minute, minute + 180), BTC, cause="pair unknown")
        story.look(minute + 179)
    [incident] = story.incidents()
    assert (incident["count"], incident["causes"]) == (4320, '{"pair unknown": 4320}')
    story.fail([4320], ETH)
    assert spans(story.look(4320))[1] == (4320, 4320, [ETH], OPEN)
    assert story.look(4325)[0]["state"] == RESOLVED


def test_a_metric_that_left_a_day_ago_opens_nothing_when_its_minutes_grow_old() -> None:
    story = Story()
    for minute in [*range(0, 1430, 110), *range(1430, 1480, 5)]:
        story.fail(range(minute, minute + 110), BTC)
        if minute == 0:
            story.fail([0, 1, 4, 8], ETH)
        story.look(minute + 4)
    assert spans(story.incidents()) == [(0, 1479, [BTC, ETH], OPEN)]


# Rows of an earlier version


def test_an_open_incident_of_an_earlier_version_goes_on() -> None:
    before = row(0, 4, BTC, ETH, cause="exchange error")
    for name in ("causes", "out", "grown_at", "flaps", "exchange", "transitions", "held_by"):
        before[name] = None
    [after] = review([missed(0, 5, BTC), missed(0, 4, ETH, absent=False)], [before], seen(5))
    assert (after["id"], after["last"], after["out"]) == (before["id"], at(5), [BTC, ETH])
    assert (after["causes"], after["transitions"]) == ('{"exchange error": 11}', None)


def test_two_open_incidents_of_an_earlier_version_of_the_same_metrics_both_end() -> None:
    one, other = row(0, 4, BTC, cause="exchange error"), row(0, 4, BTC, cause="exchange maintenance")
    after = review([missed(0, 4, BTC)], [one, other], seen(9))
    assert [each["state"] for each in after] == [RESOLVED, RESOLVED]


# However it is looked at

_FAILED = st.dictionaries(
    st.integers(0, 60),
    st.dictionaries(st.sampled_from([BTC, ETH, XRP]), st.sampled_from(["exchange error", "pair unknown", NOT_RUN])),
    max_size=30,
)


@given(_FAILED, st.sets(st.integers(0, 70), max_size=20), st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_looks_now_and_then_find_the_incidents_that_looks_each_minute_find(
    failed: dict[int, dict[str, str]], looks: set[int], resolve_after: int
) -> None:
    def told(at_minutes: Iterable[int]) -> list[Row]:
        story = Story(resolve_after=resolve_after)
        for minute, metrics in sorted(failed.items()):
            for metric, cause in metrics.items():
                story.fail([minute], metric, cause=cause)
        for minute in at_minutes:
            story.look(minute)
        rows = story.incidents()
        for incident in rows:
            # the id is of the cause that was the most frequent when it was recorded first
            assert incident["id"].partition("|")[2].rstrip("+") == f"{incident['first']:%Y-%m-%dT%H:%MZ}"
        # nor the exchange: whether the cause lies in this machine is known from what was seen so far
        moments = "id", "opened_at", "resolved_at", "exchange"
        return sorted(({name: value for name, value in each.items() if name not in moments} for each in rows), key=repr)

    assert told(sorted({*looks, 70})) == told(range(71))


@given(_FAILED, st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_each_missed_minute_is_in_one_incident_and_none_lasts_beyond_its_last_miss(
    failed: dict[int, dict[str, str]], resolve_after: int
) -> None:
    story = Story(resolve_after=resolve_after)
    for minute in range(71):
        for metric, cause in failed.get(minute, {}).items():
            story.fail([minute], metric, cause=cause)
        rows = story.look(minute)
        late = {
            metric
            for metric, minutes in story.failed.items()
            if any(minute - resolve_after < each <= minute for each in minutes)
        }
        assert sorted(late) == sorted(metric for each in rows for metric in each["out"])
        assert all((each["state"] == OPEN) == bool(each["out"]) for each in rows)
    counted = sum(sum(json.loads(each["causes"]).values()) for each in story.incidents())
    assert counted == sum(len(metrics) for metrics in failed.values())
    assert counted == sum(each["missing"] for each in story.incidents())
