"""What is told of a fact: a message for each transition, owed to the channels of that moment, and none twice."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts.messages.events import ALERT, INCIDENT
from pricetracker_dagster.alerts.messages.routing import Subject
from pricetracker_dagster.alerts.messages.silence_summaries import kept_back, summaries
from pricetracker_dagster.alerts.messages.transitions import Context, owed
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import channel_name, load_settings
from pricetracker_dagster.store.records import Row
from tests.unit.test_wording import BTC, ETH, XRP, alert, incident

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
A, B, C = "json://a", "json://b", "json://c"
NAME = {url: channel_name(url) for url in (A, B, C)}


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


def firing(**other: Any) -> Row:
    return alert(**{"transitions": 0, "held_by": None, **other})


def over(minute: int, **other: Any) -> Row:
    return firing(**{"state": "resolved", "resolved_at": at(minute), "ended_because": "below again", **other})


def opened(*metrics: str, **other: Any) -> Row:
    return {**incident(0, 0, *metrics), "transitions": 0, "held_by": None, "told_out": None, "flaps": False, **other}


class Ledger:
    """What was recorded so far, and a desk."""

    def __init__(self, write: Callable[[str], Path], *channels: str, extra: str = "") -> None:
        self.write, self.extra = write, extra
        self.set(*channels)
        self.facts: dict[str, Row] = {}
        self.messages: list[Row] = []
        self.operators = OperatorState()
        self.outages: dict[str, str] = {}

    def set(self, *channels: str, extra: str | None = None) -> None:
        self.extra = self.extra if extra is None else extra
        self.write(f'metrics = ["{BTC}"]\n[alerts]\nchannels = {json.dumps(channels)}\n{self.extra}')

    def tell(self, subject: Subject, minute: float, row: Row | None = None) -> list[tuple[str, Sequence[str]]]:
        """Record a row, or look again at what is recorded; return what is told, and whom."""
        told: dict[str, list[Row]] = {}
        for message in self.messages:
            told.setdefault(message["fact"], []).append(message)
        before = next(iter(self.facts.values()), None)
        after = before
        if row is not None:
            kept = ("transitions", "told_out") if before else ()
            after = {**row, **{name: (before or {}).get(name) for name in kept}}
        assert after is not None
        context = Context(load_settings(), at(minute), told, self.operators, self.outages)
        messages, changed = owed(subject, [(before, after)], context)
        assert owed(subject, [(before, after)], context)[0] == messages  # nothing was changed in place
        self.messages += messages
        self.facts |= {each["id"]: each for each in changed}
        return [(message["event"], message["channels"]) for message in messages]


@pytest.fixture
def ledger(write_settings: Callable[[str], Path]) -> Ledger:
    return Ledger(write_settings, A, B)


BOTH = [NAME[A], NAME[B]]


def test_each_transition_is_told_once_to_every_channel_that_is_set(ledger: Ledger) -> None:
    assert ledger.tell(ALERT, 1, firing()) == [("firing", BOTH)]
    assert ledger.tell(ALERT, 1) == []
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", BOTH)]
    assert ledger.tell(ALERT, 7) == []
    assert [message["id"] for message in ledger.messages] == [f"{alert()['id']}#1", f"{alert()['id']}#2"]
    assert [fact["transitions"] for fact in ledger.facts.values()] == [2]


def test_what_happens_a_second_time_is_told_a_second_time(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    ledger.tell(ALERT, 6, over(6))
    assert ledger.tell(ALERT, 7, firing(fired_at=at(7), peak_ratio=9.0)) == [("firing 2", BOTH)]
    assert "9.00×" in ledger.messages[-1]["text"]
    assert ledger.tell(ALERT, 13, over(13, fired_at=at(7))) == [("resolved 2", BOTH)]


def test_what_fires_again_and_is_over_before_anybody_looks_is_told_whole(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    ledger.tell(ALERT, 6, over(6))
    assert ledger.tell(ALERT, 30, over(30, fired_at=at(30))) == [("firing 2", BOTH), ("resolved 2", BOTH)]


def test_what_is_pending_or_too_old_to_be_sent_is_not_told(ledger: Ledger) -> None:
    assert ledger.tell(ALERT, 1, firing(state="pending", fired_at=None, sent=False)) == []
    assert ledger.tell(ALERT, 2, over(2, sent=False)) == []
    assert ledger.tell(ALERT, 100) == []


def test_a_channel_that_is_set_later_is_told_what_happens_from_then(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    ledger.set(B, C)
    assert ledger.tell(ALERT, 2) == []
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", [NAME[B], NAME[C], NAME[A]])]


# --- reminders ---


def test_a_reminder_is_due_so_long_after_the_last_message(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    assert ledger.tell(ALERT, 60.9) == []
    assert ledger.tell(ALERT, 61) == [("reminder 1", BOTH)]
    assert ledger.tell(ALERT, 61.2) == []
    assert ledger.tell(ALERT, 120.9) == []
    assert ledger.tell(ALERT, 400) == [("reminder 2", BOTH)]  # one, however long nobody looked


@pytest.mark.parametrize(("before", "after", "due"), [(15, 60, 121), (60, 15, 76)])
def test_another_pause_counts_from_the_last_message(ledger: Ledger, before: int, after: int, due: int) -> None:
    ledger.set(A, extra=f"repeat_minutes = {before}")
    ledger.tell(ALERT, 1, firing())
    for minute in range(16, 62, 15):
        ledger.tell(ALERT, minute)
    assert ledger.messages[-1]["recorded_at"] == at(61)
    ledger.set(A, extra=f"repeat_minutes = {after}")
    assert ledger.tell(ALERT, due - 0.1) == []
    assert [event.split()[0] for event, _ in ledger.tell(ALERT, due)] == ["reminder"]


def test_without_a_pause_nobody_is_reminded(ledger: Ledger) -> None:
    ledger.set(A, extra="repeat_minutes = 0")
    ledger.tell(ALERT, 1, firing())
    assert ledger.tell(ALERT, 10_000) == []


def test_each_channel_is_reminded_at_its_own_pace(ledger: Ledger) -> None:
    route = '[[alerts.routes]]\nchannels = ["json://{}"]\nrepeat_minutes = {}\n'
    ledger.set(A, extra=route.format("a", 10) + route.format("b", 30))
    ledger.tell(ALERT, 0, firing())
    told = [(minute, names) for minute in range(1, 35) for _, names in ledger.tell(ALERT, minute)]
    assert told == [(10, [NAME[A]]), (20, [NAME[A]]), (30, [NAME[A], NAME[B]])]


# --- outages ---


def test_who_joins_is_told_together_and_once_a_minute_at_most(ledger: Ledger) -> None:
    assert ledger.tell(INCIDENT, 1, opened(BTC)) == [("opened", BOTH)]
    assert ledger.tell(INCIDENT, 1.5, opened(BTC, ETH)) == []
    assert ledger.tell(INCIDENT, 2, opened(BTC, ETH, XRP)) == [("joined", BOTH)]
    assert "more missed: KRAKEN:ETHUSD, KRAKEN:XRPUSD;" in ledger.messages[-1]["text"]
    assert ledger.tell(INCIDENT, 4) == []


def test_that_most_are_back_is_told_once_and_reminders_name_who_is_out(ledger: Ledger) -> None:
    metrics = [f"KRAKEN:M{i:03}USD" for i in range(100)]
    ledger.tell(INCIDENT, 1, opened(*metrics))
    assert ledger.tell(INCIDENT, 10, opened(*metrics, out=metrics[:60])) == []
    assert ledger.tell(INCIDENT, 11, opened(*metrics, out=metrics[:1])) == [("back", BOTH)]
    assert ledger.messages[-1]["headline"] == "✓ 99 of 100 are back"
    assert ledger.tell(INCIDENT, 12) == []
    assert ledger.tell(INCIDENT, 71) == [("reminder 1", BOTH)]
    assert "UTC of KRAKEN:M000USD: " in ledger.messages[-1]["text"]
    assert ledger.tell(INCIDENT, 80, opened(*metrics, out=metrics[:3])) == [("joined", BOTH)]  # out once more


def test_who_comes_and_goes_is_told_less_and_less_and_who_is_new_at_once(ledger: Ledger) -> None:
    ledger.tell(INCIDENT, 0, opened(BTC, ETH))
    told = [
        minute
        for minute in range(1, 600)
        for _ in ledger.tell(INCIDENT, minute, opened(BTC, ETH, out=[BTC] if minute % 7 < 4 else [BTC, ETH]))
        if ledger.messages[-1]["event"].split()[0] != "reminder"
    ]
    assert len(told) < 40
    assert len([minute for minute in told if minute > 300]) <= 10
    assert ledger.tell(INCIDENT, 601, opened(BTC, ETH, XRP))[0][0].startswith("joined")


def test_minutes_that_come_and_go_are_told_as_such_once(ledger: Ledger) -> None:
    ledger.tell(INCIDENT, 1, opened(BTC))
    assert ledger.tell(INCIDENT, 5, opened(BTC, flaps=True)) == [("flapping", BOTH)]
    assert ledger.tell(INCIDENT, 6, opened(BTC, flaps=True)) == []
    assert ledger.tell(INCIDENT, 12, opened(BTC, state="resolved", out=[], flaps=True, resolved_at=at(12))) == [
        ("resolved", BOTH)
    ]


# --- what holds a message back ---


def silence(first: float, last: float, metrics: str = "*", ended: float | None = None) -> Row:
    return {
        "id": "s1",
        "made_at": at(first),
        "metrics": metrics,
        "rule": None,
        "until": at(last),
        "ended_at": None if ended is None else at(ended),
    }


def test_what_is_silenced_is_recorded_and_marked_and_what_lasts_is_told_at_its_end(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 30)])
    assert ledger.tell(ALERT, 1, firing()) == [("firing", [])]
    [fact] = ledger.facts.values()
    assert (fact["held_by"], ledger.messages[0]["held_by"]) == ("silence s1", "silence s1")
    assert ledger.tell(ALERT, 29) == []
    assert ledger.tell(ALERT, 30) == [("still", BOTH)]
    assert next(iter(ledger.facts.values()))["held_by"] is None
    assert "kept back until now by silence s1" in ledger.messages[-1]["text"]
    assert ledger.tell(ALERT, 40, over(40)) == [("resolved", BOTH)]


def test_what_comes_and_goes_in_a_silence_is_told_to_nobody_but_in_its_summary(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 30)])
    ledger.tell(ALERT, 1, firing())
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", [])]
    assert ledger.tell(ALERT, 31) == []
    context = Context(load_settings(), at(31), operators=ledger.operators)
    [summary] = summaries(
        kept_back(ledger.operators.ended_since(at(0), at(31)), ledger.messages), ledger.facts, context
    )
    assert (summary["channels"], summary["subject"]) == (BOTH, "summary")
    assert "over meanwhile: KRAKEN:BTCUSD volume resolved; it kept back 2 messages" in summary["text"]
    assert summaries(kept_back(ledger.operators.silences, [*ledger.messages, summary]), ledger.facts, context) == []
    [(_, kept)] = kept_back(ledger.operators.silences, ledger.messages)
    assert {message["fact"] for message in kept} == {*ledger.facts}
    assert kept_back(ledger.operators.silences, [*ledger.messages, summary]) == []


def summary_of(ledger: Ledger, minute: float, silences: Sequence[Row]) -> list[Row]:
    told: dict[str, list[Row]] = {}
    for message in ledger.messages:
        told.setdefault(message["fact"], []).append(message)
    context = Context(load_settings(), at(minute), told, ledger.operators)
    return summaries(kept_back(silences, ledger.messages), ledger.facts, context)


def test_a_summary_waits_until_what_was_kept_back_was_looked_at(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 30)])
    ledger.tell(ALERT, 1, firing())
    assert summary_of(ledger, 30, ledger.operators.silences) == []
    ledger.tell(ALERT, 31, over(31))  # in the look that comes after its end
    [summary] = summary_of(ledger, 31, ledger.operators.silences)
    assert "nothing that it kept back is still on; over meanwhile: KRAKEN:BTCUSD volume resolved" in summary["text"]


def test_a_summary_waits_an_hour_for_a_sensor_that_is_off(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 30)])
    ledger.tell(ALERT, 1, firing())
    assert summary_of(ledger, 89, ledger.operators.silences) == []
    [summary] = summary_of(ledger, 90, ledger.operators.silences)
    assert "1 still on" in summary["text"]


def test_what_another_silence_keeps_back_is_not_said_to_be_told(ledger: Ledger) -> None:
    first, second = silence(0, 30), {**silence(20, 60), "id": "s2"}
    ledger.operators = OperatorState([first])
    ledger.tell(ALERT, 1, firing())
    ledger.operators = OperatorState([first, second])
    assert ledger.tell(ALERT, 31) == []
    [summary] = summary_of(ledger, 31, [first])
    assert "has ended: 1 still on and kept back by silence s2; it kept back 1 message" in summary["text"]


def test_a_summary_goes_to_whom_routes_name_and_whom_it_was_escalated_to(ledger: Ledger) -> None:
    route = '[[alerts.routes]]\nchannels = ["json://a"]\nescalate_after_minutes = 5\nescalate_to = ["json://c"]\n'
    ledger.set(A, B, extra=route)
    ledger.operators = OperatorState([silence(0, 10)])
    ledger.tell(ALERT, 1, firing(fired_at=at(1)))
    ledger.tell(ALERT, 9, over(9, fired_at=at(1)))
    [summary] = summary_of(ledger, 10, ledger.operators.silences)
    assert summary["channels"] == [NAME[A]]

    ledger.operators = OperatorState([silence(30, 40)])
    ledger.tell(ALERT, 20, firing(fired_at=at(20)))
    assert ledger.tell(ALERT, 25) == [("escalated", [NAME[C]])]
    ledger.tell(ALERT, 35, over(35, fired_at=at(20)))
    [summary] = summary_of(ledger, 40, ledger.operators.silences)
    assert summary["channels"] == [NAME[A], NAME[C]]


def test_what_fires_again_in_a_silence_is_on_and_not_over(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 30)])
    ledger.tell(ALERT, 1, firing())
    ledger.tell(ALERT, 6, over(6))
    ledger.tell(ALERT, 20, firing(fired_at=at(20)))
    assert ledger.tell(ALERT, 30) == [("still", BOTH)]
    [summary] = summary_of(ledger, 30, ledger.operators.silences)
    assert "ended: 1 still on, see its line; it kept back 3 messages" in summary["text"]


def test_what_was_told_before_a_silence_and_ends_in_it_ends_in_its_summary(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    ledger.operators = OperatorState([silence(2, 30)])
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", [])]


def test_the_end_of_what_was_kept_back_all_the_time_is_told_to_nobody(ledger: Ledger) -> None:
    ledger.operators = OperatorState([silence(0, 5.5)])
    ledger.tell(ALERT, 1, firing())
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", [])]  # in the look in which the silence is over too


def test_a_spike_in_the_outage_of_its_whole_exchange_is_recorded_and_not_sent(ledger: Ledger) -> None:
    ledger.outages = {"KRAKEN": "exchange error|2026-03-03T12:00Z"}
    assert ledger.tell(ALERT, 1, firing()) == [("firing", [])]
    assert ledger.messages[0]["held_by"] == "incident exchange error|2026-03-03T12:00Z"
    ledger.outages = {}
    assert ledger.tell(ALERT, 2) == [("still", BOTH)]
    assert "; kept back until now by an outage of KRAKEN" in ledger.messages[-1]["text"]


def test_what_was_told_before_an_outage_and_ends_in_it_is_told_as_over_since_nothing_else_says_so(
    ledger: Ledger,
) -> None:
    ledger.tell(ALERT, 1, firing())
    ledger.outages = {"KRAKEN": "exchange error|2026-03-03T12:00Z"}
    assert ledger.tell(ALERT, 2) == []
    assert ledger.tell(ALERT, 6, over(6)) == [("resolved", BOTH)]
    assert ledger.messages[-1]["held_by"] is None
    assert ledger.tell(ALERT, 20, firing(fired_at=at(20))) == [("firing 2", [])]  # this nobody has heard of
    assert ledger.tell(ALERT, 26, over(26, fired_at=at(20))) == [("resolved 2", [])]


def test_an_outage_that_turns_out_to_have_begun_earlier_takes_nothing_back(ledger: Ledger) -> None:
    assert ledger.tell(ALERT, 1, firing()) == [("firing", BOTH)]
    ledger.outages = {"KRAKEN": "exchange error|2026-03-03T11:50Z"}
    assert ledger.tell(ALERT, 2) == []
    assert ledger.tell(ALERT, 200) == []  # nor is anybody reminded
    ledger.outages = {}
    assert ledger.tell(ALERT, 201) == [("still", BOTH)]
    assert ledger.tell(ALERT, 202) == []


def test_an_outage_of_another_exchange_keeps_nothing_back(ledger: Ledger) -> None:
    ledger.outages = {"COINBASE": "exchange error|2026-03-03T12:00Z", "KRAKE": "exchange error|2026-03-03T12:00Z"}
    assert ledger.tell(ALERT, 1, firing()) == [("firing", BOTH)]


def test_of_what_somebody_has_acknowledged_nobody_is_reminded_and_the_end_says_who(ledger: Ledger) -> None:
    ledger.tell(ALERT, 1, firing())
    noted = {"fact": alert()["id"], "made_at": at(10), "who": "ann", "note": "looking"}
    ledger.operators = OperatorState(acknowledgements=[noted])
    assert ledger.tell(ALERT, 500) == []
    ledger.tell(ALERT, 501, over(501))
    assert ledger.messages[-1]["text"].endswith("; acknowledged by ann at 2026-03-03 12:10 UTC: looking")
    ledger.tell(ALERT, 502, firing(fired_at=at(502)))  # it was over: that was of the time before
    assert ledger.tell(ALERT, 562) == [("reminder 1", BOTH)]


def test_what_nobody_acknowledges_goes_to_others_once_and_these_hear_the_end(ledger: Ledger) -> None:
    route = '[[alerts.routes]]\nchannels = ["json://a"]\nescalate_after_minutes = 20\nescalate_to = ["json://c"]\n'
    ledger.set(A, extra=f"repeat_minutes = 0\n{route}")
    ledger.tell(ALERT, 0, firing(fired_at=at(0)))
    assert ledger.tell(ALERT, 19) == []
    assert ledger.tell(ALERT, 20) == [("escalated", [NAME[C]])]
    assert "nobody has acknowledged it for 20 minutes" in ledger.messages[-1]["text"]
    assert ledger.tell(ALERT, 60) == []
    assert ledger.tell(ALERT, 61, over(61, fired_at=at(0))) == [("resolved", [NAME[A], NAME[C]])]


ESCALATED = """repeat_minutes = 0
[[alerts.routes]]
channels = ["json://a"]
escalate_after_minutes = 15
escalate_to = ["json://c"]
[[alerts.routes]]
channels = ["json://a"]
escalate_after_minutes = 5
escalate_to = ["json://b"]
"""


def test_each_route_escalates_at_its_own_time(ledger: Ledger) -> None:
    ledger.set(A, extra=ESCALATED)
    ledger.tell(ALERT, 0, firing(fired_at=at(0)))
    told = {minute: found for minute in range(1, 60) if (found := ledger.tell(ALERT, minute))}
    assert told == {5: [("escalated", [NAME[B]])], 15: [("escalated 2", [NAME[C]])]}


def test_what_was_kept_back_is_escalated_so_long_after_it_was_told(ledger: Ledger) -> None:
    ledger.set(A, extra=ESCALATED)
    ledger.operators = OperatorState([silence(0, 30)])
    ledger.tell(ALERT, 0, firing(fired_at=at(0)))
    told = {minute: found for minute in range(1, 60) if (found := ledger.tell(ALERT, minute))}
    assert told == {
        30: [("still", [NAME[A]])],
        35: [("escalated", [NAME[B]])],
        45: [("escalated 2", [NAME[C]])],
    }
    assert "nobody has acknowledged it for 15 minutes" in ledger.messages[-1]["text"]


def test_a_route_that_is_added_while_it_fires_escalates_at_once_where_its_time_is_over(ledger: Ledger) -> None:
    ledger.tell(ALERT, 0, firing(fired_at=at(0)))
    ledger.set(A, extra=ESCALATED)
    assert ledger.tell(ALERT, 14) == [("escalated", [NAME[B]])]
    assert ledger.tell(ALERT, 15) == [("escalated 2", [NAME[C]])]


def test_what_is_acknowledged_is_escalated_to_nobody_until_it_fires_anew(ledger: Ledger) -> None:
    ledger.set(A, extra=ESCALATED)
    ledger.tell(ALERT, 0, firing(fired_at=at(0)))
    ledger.operators = OperatorState(
        acknowledgements=[{"fact": alert()["id"], "made_at": at(4), "who": "ann", "note": None}]
    )
    assert [ledger.tell(ALERT, minute) for minute in (5, 15, 60)] == [[], [], []]
    ledger.tell(ALERT, 61, over(61, fired_at=at(0)))
    ledger.tell(ALERT, 70, firing(fired_at=at(70)))
    assert ledger.tell(ALERT, 74) == []
    assert ledger.tell(ALERT, 75) == [("escalated", [NAME[B]])]
