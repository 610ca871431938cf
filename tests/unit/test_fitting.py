"""Messages fit their channel: parted between lines, nothing cut or dropped, each part with an account of its own."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pricetracker_dagster.alerts.delivery import channels, notify
from pricetracker_dagster.alerts.delivery.channels import Message, Outcome, limit_of
from pricetracker_dagster.alerts.delivery.fitting import Limit, parted, shortened
from pricetracker_dagster.alerts.delivery.lines import Notice, compose
from pricetracker_dagster.alerts.messages.recording import record
from pricetracker_dagster.alerts.operators.state import OperatorState
from pricetracker_dagster.settings import Settings, channel_name, load_settings
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import open_store

NOW = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
DISCORD = "discord://123456789012345678/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"


def lines_of(count: int, length: int) -> list[tuple[str, list[int]]]:
    return [(f"{i:03d} {'word ' * (length // 5)}".strip(), [i]) for i in range(count)]


def test_what_fits_is_one_message_with_its_title_as_it_is() -> None:
    [part] = parted("three things", lines_of(3, 20), Limit(title=50, body=500))
    assert (part.title, part.body.splitlines(), part.completes) == (
        "three things",
        [line for line, _ in lines_of(3, 20)],
        (0, 1, 2),
    )


@pytest.mark.parametrize(
    "limit", [Limit(250, 2000), Limit(0, 160), Limit(0, 4096), Limit(250, 1024), Limit(30, 400, lines=3)]
)
def test_what_does_not_fit_is_parted_between_lines_and_each_line_is_whole_in_one_part(limit: Limit) -> None:
    lines = lines_of(60, 90)
    parts = parted("a title of some words, which is not short at all", lines, limit)
    assert len(parts) > 1
    assert [line for part in parts for line in part.body.splitlines()] == [line for line, _ in lines]
    assert [number for part in parts for number in part.completes] == list(range(60))
    for number, part in enumerate(parts, 1):
        assert len(part.title) + 2 + len(part.body) <= limit.body
        assert len(part.title) <= (limit.title or limit.body)
        assert part.title.endswith(f"({number}/{len(parts)})")
        assert not limit.lines or len(part.body.splitlines()) <= limit.lines


@pytest.mark.parametrize("room", [60, 160, 500])
def test_a_line_that_is_too_long_alone_is_parted_between_its_words(room: int) -> None:
    line = " ".join(f"word{i}" for i in range(400))
    parts = parted("title", [(line, ["it"]), ("short", ["more"])], Limit(0, room))
    assert " ".join(part.body.replace("\n", " ") for part in parts) == f"{line} short"
    assert [part.completes for part in parts if part.completes] == [("it", "more")] or [
        part.completes for part in parts if part.completes
    ] == [("it",), ("more",)]
    assert all(len(part.title) + 2 + len(part.body) <= room for part in parts)


def test_a_word_that_is_too_long_alone_is_parted_within() -> None:
    parts = parted("", [("x" * 1000, [1])], Limit(0, 160))
    assert "".join(part.body for part in parts) == "x" * 1000


def test_a_channel_that_writes_signs_in_more_characters_is_given_less() -> None:
    parts = parted("", [("a b c d " * 20, [i]) for i in range(5)], Limit(0, 400, length=lambda text: 2 * len(text)))
    assert all(2 * len(part.body) <= 400 for part in parts)
    assert [number for part in parts for number in part.completes] == list(range(5))


@pytest.mark.parametrize("line", ["word " * 5000, "x" * 25_000])
def test_a_long_line_is_parted_without_writing_it_over_for_each_word(line: str) -> None:
    asked: list[int] = []

    def length(text: str) -> int:
        asked.append(len(text))
        return 2 * len(text)

    parts = parted("", [(line, [1])], Limit(0, 1000, length=length))
    assert sum(asked) < 1_000_000  # twenty for each character; for each word it were hundreds
    assert re.sub(r"\s", "", "".join(part.body for part in parts)) == line.replace(" ", "")


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=300), max_size=20),
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=300),
    st.integers(0, 300),
    st.integers(80, 700),
)
def test_whatever_there_is_to_say_nothing_is_lost_and_everything_fits(
    lines: list[str], title: str, title_length: int, body: int
) -> None:
    parts = parted(title, [(line, [i]) for i, line in enumerate(lines)], Limit(title_length, body))
    said = re.sub(r"\s", "", "".join(part.body for part in parts))
    assert said == re.sub(r"\s", "", "".join(lines))
    assert [i for part in parts for i in part.completes] == list(range(len(lines)))
    assert all(len(part.body) <= body for part in parts)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("one two three", 20, "one two three"),
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two …"),
        ("one, two, three", 10, "one, two …"),
        ("one two three", 3, ""),
        ("one two three", -4, ""),
    ],
)
def test_a_title_is_shortened_at_a_word(text: str, most: int, expected: str) -> None:
    assert shortened(text, most) == expected


@pytest.mark.parametrize(
    ("url", "title", "body"),
    [
        (DISCORD, 250, 2000),
        ("json://host/path", 250, 32768),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", 0, 4096),
        ("pover://abcdefghijklmnopqrstuvwxyz1234@abcdefghijklmnopqrstuvwxyz1234", 250, 1024),
    ],
)
def test_a_channel_takes_what_apprise_says_it_takes(url: str, title: int, body: int) -> None:
    assert limit_of(url)[:2] == (title, body)


def test_what_apprise_does_not_know_takes_what_most_do() -> None:
    assert limit_of("nothing://that.is/known") == Limit()


# --- delivery, by part ---


@pytest.fixture
def discord(
    write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, list[str], set[int]]:
    """A Discord that refuses more than 2,000 characters, and the messages whose numbers are in a set."""
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nchannels = ["{DISCORD}"]')
    taken: list[str] = []
    refused: set[int] = set()
    asked = iter(range(1000))

    class Answer:
        headers: dict[str, str] = {}  # noqa: RUF012 - as requests has it
        content, text = b"{}", "{}"

        def __init__(self, status: int) -> None:
            self.status_code = status

    def post(url: str, data: Any = None, **_: object) -> Answer:
        content = json.loads(data)["content"]
        if next(asked) in refused or len(content) > 2000:
            return Answer(400)
        taken.append(content)
        return Answer(204)

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests.Session, "post", lambda _, url, **kwargs: post(url, **kwargs))
    return load_settings(), taken, refused


def alerts(count: int) -> list[Row]:
    minute = NOW - timedelta(minutes=2)
    return [
        {
            "id": f"spike|KRAKEN:COIN{i:02d}USD|volume|{minute:%Y-%m-%dT%H:%MZ}",
            "rule": "spike",
            "metric": f"KRAKEN:COIN{i:02d}USD",
            "measure": "volume",
            "minute": minute,
            "state": "firing",
            "value": 1234.5678,
            "average": 100.25,
            "ratio": 12.31,
            "factor": 3.0,
            "last_minute": minute,
            "minutes": 1,
            "peak": 1234.5678,
            "peak_ratio": 12.31,
            "peak_minute": minute,
            "fired_at": NOW,
            "resolved_at": None,
            "ended_because": None,
            "sent": True,
        }
        for i in range(count)
    ]


def owed(settings: Settings, records: Records, count: int) -> None:
    """Record alerts that have just fired, and what is told of them."""
    record(settings, records, "alert", [], alerts(count), NOW, OperatorState())


@pytest.mark.parametrize("count", [1, 20, 25])
def test_what_is_longer_than_the_channel_takes_is_delivered_in_parts(
    discord: tuple[Settings, list[str], set[int]], count: int
) -> None:
    settings, taken, _ = discord
    records = open_store(settings).records
    owed(settings, records, count)
    attempts = notify.deliver(settings, records, NOW)
    assert [row["delivered"] for row in attempts] == [True] * count
    assert len(taken) == (1 if count == 1 else 2)
    whole = [line for content in taken for line in content.splitlines() if line.endswith("(spike: above 3×)")]
    assert len({line.split()[1] for line in whole}) == len(whole) == min(count, 20)
    assert notify.deliver(settings, records, NOW + timedelta(minutes=1)) == []


def test_what_a_taken_part_holds_is_delivered_and_only_the_rest_is_sent_again(
    discord: tuple[Settings, list[str], set[int]],
) -> None:
    settings, taken, refused = discord
    records = open_store(settings).records
    owed(settings, records, 20)
    refused.add(1)  # the second part
    first = {row["id"]: row["delivered"] for row in notify.deliver(settings, records, NOW)}
    told = {i for i, row in enumerate(alerts(20)) if row["metric"] in taken[0].split("\n", 1)[1]}
    assert {i for i, row in enumerate(alerts(20)) if first[row["id"]]} == told
    assert 0 < len(told) < 20
    again = notify.deliver(settings, records, NOW + timedelta(minutes=1))
    assert {row["id"] for row in again} == {id_ for id_, delivered in first.items() if not delivered}
    assert all(row["delivered"] and row["attempt"] == 2 for row in again)


def test_after_a_part_that_is_not_taken_the_channel_is_sent_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def send(url: str, message: Message) -> Outcome:
        sent.append(message.title)
        return Outcome(channel_name(url), message.title != "2", None)

    monkeypatch.setattr(channels, "send_one", send)
    messages = [Message(str(i), "body", good=True) for i in range(1, 5)]
    outcomes = list(channels.send({"json://a": messages}))
    assert sent == ["1", "2"]
    assert [(outcome.delivered, outcome.part) for outcome in outcomes] == [(True, 0), (False, 1)]


@pytest.mark.parametrize("mistake", [TypeError("no"), KeyError("x"), RecursionError()])
def test_a_mistake_of_ours_with_one_channel_is_not_the_others(
    monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    def send(url: str, message: Message) -> Outcome:
        if "bad" in url:
            raise mistake
        return Outcome(channel_name(url), True, None)

    monkeypatch.setattr(channels, "send_one", send)
    message = Message("title", "body", good=True)
    outcomes = {each.channel: each for each in channels.send({"json://bad": [message], "json://good": [message]})}
    assert outcomes[channel_name("json://good")].delivered
    assert (outcomes[channel_name("json://bad")].error or "").startswith("a mistake of pricetracker: ")


def test_a_notice_whose_line_takes_two_parts_is_delivered_with_the_second(
    write_settings: Callable[[str], Path],
) -> None:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    notice = Notice("id", "alert", "firing", NOW, "headline", " ".join(["word"] * 100))
    parts = compose([notice], load_settings(), Limit(0, 300))
    assert [completes for _, completes in parts if completes] == [(notice,)]
    assert parts[0][1] == ()
