"""In the alarms one bad thing fails alone too: a metric, a rule, a row, a channel, a table that cannot be written."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pricetracker_dagster.alerts import detect, watch
from pricetracker_dagster.alerts.delivery import channels, notify
from pricetracker_dagster.alerts.delivery.channels import Message, Outcome
from pricetracker_dagster.alerts.lifecycle import review as episodes
from pricetracker_dagster.alerts.messages import wording
from pricetracker_dagster.alerts.messages.wording import Event, alert_message
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import AlertRule, Settings, channel_name, load_settings
from pricetracker_dagster.store.records import RecordTable, Row
from pricetracker_dagster.store.store import Store, store_in
from tests.odd_kraken import OddKraken

NOW = 1_772_539_205  # 2026-03-03 12:00:05 UTC
NEWEST = datetime.fromtimestamp(NOW // 60 * 60 - 60, UTC)
LATER = NEWEST + timedelta(seconds=125)
BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
CHANNELS = ["json://one.example/a", "json://two.example/b"]


@pytest.fixture
def burst(write_settings: Callable[[str], Path]) -> Iterator[tuple[Settings, str | None]]:
    """Two metrics whose newest minute has a burst of volume, not judged yet; two rules."""
    with OddKraken(NOW) as odd:
        write_settings(
            f'metrics = ["{BTC}", "{ETH}"]\n[exchanges.kraken]\nurl = "{odd.url}"\nrequests_per_second = 1000\n'
            f'[alerts]\nchannels = ["{CHANNELS[0]}", "{CHANNELS[1]}"]\n'
            '[[alerts.rules]]\nname = "first"\n[[alerts.rules]]\nname = "second"\nmeasures = ["volume"]\n'
        )
        settings = load_settings()
        collect_minute(settings, NEWEST)
        cursor = watch_prices(settings, LATER, None).cursor
        odd.now += 60

        def bursts(envelope: Any) -> Any:
            [key] = [key for key in envelope["result"] if key != "last"]
            envelope["result"][key][-2][6] = "75.0"
            return envelope

        odd.change["OHLC"] = bursts
        assert collect_minute(settings, NEWEST + timedelta(minutes=1)).missing == {}
        yield settings, cursor


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Message]]:
    taken: list[tuple[str, Message]] = []

    def send(url: str, message: Message) -> Outcome:
        taken.append((url, message))
        return Outcome(channel_name(url), True, None)

    monkeypatch.setattr(channels, "send_one", send)
    return taken


def of(rows: Sequence[Row]) -> set[tuple[str, str]]:
    return {(row["rule"], row["metric"]) for row in rows}


def test_a_metric_that_cannot_be_judged_is_told_and_the_others_alarm(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detect.judge_stored

    def spoiled(store: Store, rules: Sequence[AlertRule], metrics: Sequence[str] | None, *rest: Any) -> Any:
        if metrics is None or ETH in metrics:
            raise OverflowError("1e400")
        return whole(store, rules, metrics, *rest)

    monkeypatch.setattr(detect, "judge_stored", spoiled)
    watched = watch_prices(burst[0], LATER, burst[1])
    assert of(watched.alerts) == {("first", BTC), ("second", BTC)}
    assert watched.troubles == [
        f"{ETH} could not be judged by the rule first: OverflowError: 1e400",
        f"{ETH} could not be judged by the rule second: OverflowError: 1e400",
    ]
    assert {url for url, _ in sent} == set(CHANNELS)
    assert watched.cursor != burst[1]


def test_a_rule_that_cannot_be_judged_is_told_and_the_others_alarm(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detect.judge_stored

    def spoiled(store: Store, rules: Sequence[AlertRule], *rest: Any) -> Any:
        if any(rule.name == "first" for rule in rules):
            raise TypeError("no")
        return whole(store, rules, *rest)

    monkeypatch.setattr(detect, "judge_stored", spoiled)
    watched = watch_prices(burst[0], LATER, burst[1])
    assert of(watched.alerts) == {("second", BTC), ("second", ETH)}
    assert len(watched.troubles) == 2
    assert sent


def test_where_nothing_can_be_judged_it_is_looked_at_again(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(*_: Any) -> Any:
        raise OSError("the table is damaged")

    with monkeypatch.context() as broken:
        broken.setattr(detect, "judge_stored", spoiled)
        with pytest.raises(OSError, match="damaged"):
            watch_prices(burst[0], LATER, burst[1])
    assert len(of(watch_prices(burst[0], LATER, burst[1]).alerts)) == 4
    assert sent


def test_one_metrics_alert_that_cannot_be_made_is_told_and_the_others_are(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = episodes.review

    def spoiled(above: Any, recorded: Any, rules: Any, known: Any) -> Any:
        if any(verdict.metric == ETH for verdict in above):
            raise KeyError(ETH)
        return whole(above, recorded, rules, known)

    monkeypatch.setattr(episodes, "review", spoiled)
    watched = watch_prices(burst[0], LATER, burst[1])
    assert of(watched.alerts) == {("first", BTC), ("second", BTC)}
    assert watched.troubles == [f"what is above of {ETH} could not be made an alert: KeyError: '{ETH}'"]
    assert sent


@pytest.mark.parametrize("look", ["prices", "minutes"])
def test_what_is_recorded_is_sent_although_nothing_new_can_be_recorded(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    settings, cursor = burst
    with monkeypatch.context() as silent:
        silent.setattr(notify, "deliver", lambda *_: [])
        watch_prices(settings, LATER, cursor)
    whole = RecordTable.upsert

    def full(self: RecordTable, rows: Any, **kwargs: Any) -> Any:
        if self.path.name in ("alerts", "incidents"):
            raise OSError(28, "No space left on device")
        return whole(self, rows, **kwargs)

    monkeypatch.setattr(RecordTable, "upsert", full)
    looks: dict[str, Callable[[], object]] = {
        "prices": lambda: watch_prices(settings, LATER, cursor),
        "minutes": lambda: watch_minutes(settings, LATER + timedelta(minutes=6)),
    }
    with pytest.raises(OSError, match="No space left"):
        looks[look]()
    assert {url for url, _ in sent} == set(CHANNELS)


def test_a_row_that_cannot_be_put_into_words_is_named_and_the_others_are_told(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = alert_message

    def spoiled(row: Row, what: Event) -> tuple[str, str]:
        if row["metric"] == ETH:
            raise TypeError("no number")
        return whole(row, what)

    monkeypatch.setattr(wording, "alert_message", spoiled)
    watched = watch_prices(burst[0], LATER, burst[1])
    assert all(row["delivered"] for row in watched.attempts)
    assert len(watched.attempts) == 4 * len(CHANNELS)
    lines = [line for line in sent[0][1].body.splitlines() if "/assets/" not in line]
    assert sum(f"▲ {BTC}" in line for line in lines) == 2
    assert (
        sum("a mistake of pricetracker while putting it into words: TypeError: no number" in line for line in lines)
        == 2
    )


def test_a_channel_whose_account_cannot_be_written_is_not_the_others(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RecordTable.upsert
    bad = channel_name(CHANNELS[0])

    def spoiled(self: RecordTable, rows: Any, **kwargs: Any) -> Any:
        if self.path.name == "deliveries" and rows[0]["channel"] == bad:
            raise OSError(28, "No space left on device")
        return whole(self, rows, **kwargs)

    monkeypatch.setattr(RecordTable, "upsert", spoiled)
    with pytest.raises(OSError, match="No space left"):
        watch_prices(burst[0], LATER, burst[1])
    noted = store_in(burst[0].folder).records.deliveries.rows()
    assert {row["channel"] for row in noted} == {channel_name(CHANNELS[1])}
    assert len(of(store_in(burst[0].folder).records.alerts.rows())) == 4


def test_a_publication_that_fails_keeps_no_alert_back(
    burst: tuple[Settings, str | None], sent: list[tuple[str, Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(watch, "publish", spoiled)
    watched = watch_prices(burst[0], LATER, burst[1])
    assert len(watched.alerts) == 4
    assert {url for url, _ in sent} == set(CHANNELS)
    assert watched.troubles == ["what was recorded is not published yet: RuntimeError: broken"]
