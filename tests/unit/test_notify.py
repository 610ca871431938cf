"""What a channel is owed becomes as few messages as fit, sent when it may be, and accounted for."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts.delivery.channels import Message, Outcome
from pricetracker_dagster.alerts.delivery.fitting import Limit
from pricetracker_dagster.alerts.delivery.lines import Notice, compose, lines_of
from pricetracker_dagster.alerts.delivery.notify import attempt_row, attempts_made
from pricetracker_dagster.alerts.delivery.retry import failures, not_before, pause
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import Settings, load_settings
from pricetracker_dagster.store.records import Row

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
NOW = NOON + timedelta(hours=3)
CHANNEL = "json-12345678"


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


@pytest.fixture
def plain(write_settings: Callable[[str], Path]) -> Settings:
    write_settings('metrics = ["KRAKEN:BTCUSD"]\n[ui]\nurl = "https://tracker.example/"')
    return load_settings()


def notice(number: int = 0, subject: str = "alert", event: str = "firing") -> Notice:
    return Notice(f"id{number}", subject, event, at(number), f"headline {number}", f"line {number}")


def owed(event: str, minute: int, fact: str = "id0") -> Row:
    return {
        "fact": fact,
        "subject": "alert",
        "event": event,
        "recorded_at": at(minute),
        "headline": event,
        "text": f"{fact} {event}",
    }


def message_of(notices: Sequence[Notice], settings: Settings) -> Message:
    """The message for a channel that takes any length."""
    [(message, _)] = compose(notices, settings, Limit(title=1_000_000, body=100_000_000))
    return message


def test_a_message_is_a_line_for_each_and_a_link_below(plain: Settings) -> None:
    message = message_of([notice(0), notice(1)], plain)
    assert message == Message("headline 0, headline 1", "line 0\nline 1\nhttps://tracker.example/assets/alerts", False)


def test_a_message_about_both_links_to_both(plain: Settings) -> None:
    message = message_of([notice(0), notice(1, "incident"), notice(2)], plain)
    assert message.body.splitlines()[3:] == [
        "https://tracker.example/assets/alerts",
        "https://tracker.example/assets/incidents",
    ]


def test_a_message_names_three_things_in_its_title(plain: Settings) -> None:
    assert message_of([notice(i) for i in range(3)], plain).title == "headline 0, headline 1, headline 2"
    assert message_of([notice(i) for i in range(4)], plain).title == "headline 0, headline 1, headline 2 and 1 more"


@pytest.mark.parametrize(("count", "more"), [(20, []), (21, ["… and 1 more"]), (500, ["… and 480 more"])])
def test_a_message_has_at_most_twenty_lines_of_facts(plain: Settings, count: int, more: list[str]) -> None:
    message = message_of([notice(i) for i in range(count)], plain)
    assert message.body.splitlines() == [
        *(f"line {i}" for i in range(20)),
        *more,
        "https://tracker.example/assets/alerts",
    ]


def test_what_is_on_now_comes_first_and_is_not_what_is_left_away(plain: Settings) -> None:
    over = [notice(i, event=event) for i in range(12) for event in ("firing", "resolved")]
    again = [notice(0, event="firing 2")._replace(text="again")]
    message = message_of([*over, *again, notice(99)], plain)
    assert message.title.startswith("headline 0, headline 0, headline 0 and ")
    lines = message.body.splitlines()
    assert lines[:6] == ["line 0", "line 0", "again", "line 99", "line 1", "line 1"]
    assert lines[-2] == "… and 6 more"


def test_a_message_is_good_news_where_everything_in_it_is_over(plain: Settings) -> None:
    assert message_of([notice(0, event="resolved"), notice(1, event="resolved")], plain).good
    assert not message_of([notice(0, event="resolved"), notice(1)], plain).good


def test_each_transition_is_a_line_in_the_order_in_which_they_were(plain: Settings) -> None:
    lines = lines_of([owed("firing", 0), owed("firing", 1, "id1"), owed("resolved", 5)], plain, at(6))
    assert [line.text for line in lines] == ["id0 firing", "id1 firing", "id0 resolved"]
    assert all(line.also == () for line in lines)


def test_a_reminder_after_which_more_has_happened_is_of_no_use_and_is_accounted_for(plain: Settings) -> None:
    lines = lines_of([owed("reminder 1", 0), owed("reminder 2", 5), owed("firing", 1, "id1")], plain, at(6))
    assert [(line.text, line.also) for line in lines] == [("id1 firing", ()), ("id0 reminder 2", ("reminder 1",))]


@pytest.mark.parametrize(("now", "lines"), [(15, ["id0 firing", "id0 resolved"]), (16, ["id0 resolved"])])
def test_of_what_began_long_ago_and_is_over_its_end_says_all(plain: Settings, now: int, lines: list[str]) -> None:
    told = lines_of([owed("firing", 0), owed("resolved", 5)], plain, at(now))
    assert [line.text for line in told] == lines
    assert [event for line in told for event in (*line.also, line.event)] == ["firing", "resolved"]


def test_what_began_long_ago_and_lasts_is_told(plain: Settings) -> None:
    due = [owed("firing", 0), owed("resolved", 5), owed("firing 2", 6)]
    assert [line.text for line in lines_of(due, plain, NOW)] == ["id0 resolved", "id0 firing 2"]


# --- when ---


def attempts(count: int, *, last: datetime, delivered: bool = False, **other: Any) -> list[Row]:
    """So many attempts for notice 0, the last of them at a moment."""
    return [
        {
            "id": "id0",
            "event": "firing",
            "channel": CHANNEL,
            "attempt": i + 1,
            "attempted_at": last - (count - 1 - i) * MINUTE,
            "delivered": delivered and i == count - 1,
            "retry_at": None,
            **other,
        }
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("failed", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (20, 300), (500, 300)]
)
def test_a_channel_is_left_alone_for_pauses_that_grow_up_to_five_minutes(failed: int, seconds: int) -> None:
    assert pause(failed, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("asked", "seconds"), [(5.0, 10), (120.0, 120), (1e9, 3600)])
def test_a_channel_that_asks_for_a_pause_has_it_up_to_an_hour(asked: float, seconds: int) -> None:
    assert pause(1, asked) == timedelta(seconds=seconds)


def test_a_channel_that_was_never_tried_or_took_its_last_message_is_not_left_alone() -> None:
    assert not_before([]) is None
    assert not_before([*attempts(3, last=NOON), *attempts(1, last=NOW, delivered=True)]) is None


def test_a_channel_that_failed_is_left_alone_as_was_noted() -> None:
    assert not_before(attempts(2, last=NOW, retry_at=NOW + 2 * MINUTE)) == NOW + 2 * MINUTE
    # by a clock that was ahead
    assert not_before(attempts(1, last=NOW, retry_at=NOW + timedelta(days=9))) == NOW + timedelta(hours=1)


def test_one_that_the_version_before_has_noted_is_left_alone_as_long_as_that_would_have() -> None:
    assert not_before(attempts(3, last=NOW)) == NOW + timedelta(seconds=40)


def test_of_a_message_in_parts_one_that_failed_leaves_the_channel_alone() -> None:
    both = [*attempts(1, last=NOW, delivered=True), *attempts(1, last=NOW, retry_at=NOW + MINUTE)]
    assert not_before(both) == NOW + MINUTE


def test_failures_are_counted_since_the_channel_last_took_something() -> None:
    sent = [*attempts(3, last=NOON), *attempts(1, last=NOON + MINUTE, delivered=True), *attempts(2, last=NOW)]
    assert failures(sent, CHANNEL) == 2
    assert failures(sent, "another") == 0
    assert failures([*sent, *attempts(1, last=NOW, id="id1")], CHANNEL) == 2  # two lines of one message


def test_attempts_are_counted_on() -> None:
    outcome = Outcome(CHANNEL, False, "not taken")
    first = attempt_row(notice(0), "firing", outcome, attempts_made([]), NOW, NOW + MINUTE)
    assert first == {
        "id": "id0",
        "subject": "alert",
        "event": "firing",
        "channel": CHANNEL,
        "attempt": 1,
        "attempted_at": NOW,
        "delivered": False,
        "error": "not taken",
        "retry_at": NOW + MINUTE,
    }
    made = attempts_made(attempts(3, last=NOW))
    assert attempt_row(notice(0), "firing", outcome, made, NOW, None)["attempt"] == 4
    assert attempt_row(notice(1), "firing", outcome, made, NOW, None)["attempt"] == 1
