"""The alarms on a real store with real webhooks: recorded once, told at least once, never told again as new."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.alerts import watch as watching
from pricetracker_dagster.alerts.delivery import channels
from pricetracker_dagster.alerts.incidents.missed import note_failed_run
from pricetracker_dagster.alerts.outcome import SensorOutcome
from pricetracker_dagster.alerts.watch import watch_minutes, watch_prices
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.candles.validate import validate_rows
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import Settings, channel_name, load_settings
from pricetracker_dagster.store.maintenance import maintain
from pricetracker_dagster.store.publishing.publish import publish
from pricetracker_dagster.store.records import Records, Row
from pricetracker_dagster.store.store import Store, open_store
from tests.integration.conftest import Bench, give_up_after
from tests.webhook import Webhook

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
SOON = timedelta(seconds=63)
"""From a minute's open until it is stored and looked at."""

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
_pause = threading.Event()


@dataclass
class Watch:
    """A store, and somebody who looks at it as a sensor does."""

    load: Callable[[], Settings]
    cursor: str | None = None

    @property
    def settings(self) -> Settings:
        return self.load()

    @property
    def store(self) -> Store:
        return open_store(self.settings)

    @property
    def records(self) -> Records:
        return open_store(self.settings).records

    def put(self, minutes: Iterable[int], volume: float, *metrics: str) -> None:
        """Store minutes, counted from noon."""
        rows = [
            (metric, int((NOON + minute * MINUTE).timestamp()), 10.0, 10.0, 10.0, 10.0, volume, 1)
            for metric in metrics or (BTC,)
            for minute in minutes
        ]
        self.store.prices.upsert(validate_rows(rows, NOON).kept)

    def put_prices(self, prices: Mapping[tuple[str, int], float]) -> None:
        """Store prices by metric and minute, also in the stead of others, in one answer of the exchange."""
        rows = [
            (metric, int((NOON + minute * MINUTE).timestamp()), *[float(price)] * 4, 1.0, 1)
            for (metric, minute), price in prices.items()
        ]
        if rows:
            self.store.prices.upsert(validate_rows(rows, NOON).kept)

    def fail(self, minute: int, metrics: Iterable[str]) -> None:
        """Note what a tick notes that could store nothing."""
        noted = {"minute": NOON + minute * MINUTE, "cause": "exchange error", "reason": "HTTP 502", "noted_at": NOON}
        self.records.causes.upsert([{"metric": metric, **noted} for metric in metrics])

    def look(self, minute: int, seconds: float = 63) -> SensorOutcome:
        """Look at the prices so many seconds after a minute began."""
        watched = watch_prices(self.settings, NOON + minute * MINUTE + timedelta(seconds=seconds), self.cursor)
        self.cursor = watched.cursor
        return watched

    def look_at_minutes(self, minute: int, seconds: float = 3) -> SensorOutcome:
        return watch_minutes(self.settings, NOON + minute * MINUTE + timedelta(seconds=seconds))

    def alerts(self) -> list[Row]:
        return self.records.alerts.rows()

    def incidents(self) -> list[Row]:
        return self.records.incidents.rows()


@pytest.fixture
def watch(write_settings: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    """Watch some metrics by the default rule, telling some channels; where ``published`` is read, it is published."""

    def begin(*channels: str, metrics: Iterable[str] = (BTC, ETH), extra: str = "", published: bool = False) -> Watch:
        if not published:
            monkeypatch.setattr(watching, "publish", lambda *_, **__: None)  # it takes half of the time
        write_settings(f"metrics = {json.dumps(list(metrics))}\n[alerts]\nchannels = {json.dumps(channels)}\n{extra}")
        return Watch(load_settings)

    return begin


def calm(watch: Watch) -> None:
    """An hour of volume 100 before noon, and a first look, from which on things are new."""
    watch.put(range(-60, 0), 100.0)
    watch.look(-1)


# The rule, told


def test_a_minute_above_is_recorded_and_told_once_and_missing_again_when_it_is_over(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    it = watch(webhook.channel())
    calm(it)
    it.put([0], 301.0)
    assert [(row["state"], row["minute"]) for row in it.look(0).alerts] == [("firing", NOON)]
    for minute in range(1, 8):
        it.put([minute], 100.0)
        it.look(minute)
        it.look(minute)  # twice, as sensors may
    [alert] = it.alerts()
    assert alert["id"] == "spike|KRAKEN:BTCUSD|volume|2026-03-03T12:00Z"
    assert (alert["value"], alert["average"], alert["ratio"]) == (301.0, 100.0, 3.01)
    assert (alert["state"], alert["ended_because"]) == ("resolved", "below again")
    assert alert["resolved_at"] == NOON + 5 * MINUTE + SOON
    assert [posted.lines for posted in webhook.posted] == [
        [
            "▲ KRAKEN:BTCUSD volume 301 = 3.01× its average 100 at 2026-03-03 12:00 UTC (spike: above 3×)",
            "http://127.0.0.1:3000/assets/alerts",
        ],
        [
            (
                "✓ KRAKEN:BTCUSD volume below again: it lasted 1 minute from 2026-03-03 12:00 UTC, "
                "peak 301 = 3.01× at 12:00 (spike)"
            ),
            "http://127.0.0.1:3000/assets/alerts",
        ],
    ]
    assert [posted.title for posted in webhook.posted] == [
        "▲ KRAKEN:BTCUSD volume 3.01×",
        "✓ KRAKEN:BTCUSD volume resolved",
    ]


def test_exactly_the_factor_is_not_above(watch: Callable[..., Watch]) -> None:
    it = watch()
    calm(it)
    it.put([0], 300.0)
    assert it.look(0).judged == 2  # price and volume
    assert it.alerts() == []


def test_alerts_are_recorded_published_and_shown_also_without_a_channel(watch: Callable[..., Watch]) -> None:
    it = watch(published=True)
    calm(it)
    it.put([0], 400.0)
    it.look(0)
    published = open_prices(it.store.folder.published).alerts(only_open=True).df()
    assert published[["metric", "measure", "ratio"]].values.tolist() == [[BTC, "volume", 4.0]]
    assert open_prices(it.store.folder.published).alerts(since=NOON + MINUTE).df().empty
    assert open_prices(it.store.folder.published).sql("FROM deliveries").df().empty


def test_several_alerts_of_one_minute_are_one_message_a_channel(watch: Callable[..., Watch], webhook: Webhook) -> None:
    it = watch(webhook.channel("/a"), webhook.channel("/b"))
    it.put(range(-60, 0), 100.0, ETH)
    calm(it)
    it.put([0], 500.0)
    it.put([0], 700.0, ETH)
    it.look(0)
    for path in ("/a", "/b"):
        [posted] = webhook.to(path)
        assert [line.split(" = ")[0] for line in posted.lines[:2]] == [
            "▲ KRAKEN:BTCUSD volume 500",
            "▲ KRAKEN:ETHUSD volume 700",
        ]


def test_too_few_points_are_not_judged_and_that_is_said(watch: Callable[..., Watch]) -> None:
    it = watch()
    it.put(range(-29, -1), 100.0)
    it.look(-2)
    it.put([-1], 100.0)  # has 28 minutes before it
    assert dict(it.look(-1).not_judged) == {"too few points": 2}
    it.put([0], 999.0)  # 29
    assert dict(it.look(0).not_judged) == {"too few points": 2}
    it.put([1], 9999.0)  # 30
    assert it.look(1).not_judged == {}
    assert [row["minute"] for row in it.alerts()] == [NOON + MINUTE]


def test_while_it_lasts_there_is_a_reminder_an_hour(watch: Callable[..., Watch], webhook: Webhook) -> None:
    it = watch(
        webhook.channel(),
        extra='repeat_minutes = 30\n[[alerts.rules]]\nname = "busy"\nmeasures = ["volume"]\nresolve_after_minutes = 60',
    )
    calm(it)
    it.put([0], 400.0)
    it.look(0)
    last = 0
    for minute in (1, 15, 28, 29, 30, 31, 45, 58, 59, 60, 61):
        it.put(range(last + 1, minute + 1), 100.0)
        it.look(minute)
        last = minute
    heads = [posted.title for posted in webhook.posted]
    assert heads == [
        "▲ KRAKEN:BTCUSD volume 4.00×",
        "▲ KRAKEN:BTCUSD volume still fires",
        "▲ KRAKEN:BTCUSD volume resolved".replace("▲", "✓"),
    ]


# What is new


def test_what_is_stored_before_the_first_look_is_the_past(watch: Callable[..., Watch]) -> None:
    it = watch()
    it.put(range(-60, 0), 100.0)
    it.put([0], 999.0)
    assert it.look(0).judged == 0
    assert it.alerts() == []


def test_old_minutes_are_recorded_but_nobody_is_told(watch: Callable[..., Watch], webhook: Webhook) -> None:
    it = watch(webhook.channel())
    it.look(0)  # an empty store
    it.put(range(-200, 0), 100.0)
    it.put([-100], 400.0)
    it.look(0)
    [alert] = it.alerts()
    assert (alert["minute"], alert["state"], alert["sent"]) == (NOON - 100 * MINUTE, "resolved", False)
    assert webhook.posted == []


def test_a_minute_that_is_corrected_below_stays_a_fact_and_one_corrected_above_becomes_one(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    it = watch(webhook.channel())
    calm(it)
    it.put([0], 301.0)
    it.look(0)
    it.put([0], 299.0)
    it.put([1], 100.0)
    it.look(1)
    assert [(row["minute"], row["value"]) for row in it.alerts()] == [(NOON, 301.0)]
    it.put(range(2, 20), 100.0)
    it.look(19)
    it.put([18], 1000.0)
    it.look(19)
    assert [row["minute"] for row in it.alerts()] == [NOON, NOON + 18 * MINUTE]
    assert sum("▲" in line for posted in webhook.posted for line in posted.lines) == 2


def test_a_gap_that_is_healed_makes_the_minutes_after_it_judgeable(watch: Callable[..., Watch]) -> None:
    it = watch()
    it.put(range(-100, -60), 100.0)
    it.look(-61)
    it.put([0], 500.0)  # an hour is missing
    assert dict(it.look(0).not_judged) == {"too few points": 2}
    it.put(range(-60, 0), 100.0)
    it.look(1)
    assert [row["minute"] for row in it.alerts()] == [NOON]


def test_files_that_are_merely_written_again_are_nothing_new(watch: Callable[..., Watch]) -> None:
    it = watch()
    for minute in range(-30, 0):
        it.put([minute], 100.0)
    it.look(-1)
    assert len(it.store.prices.files()) > 25
    maintain(it.store)
    assert len(it.store.prices.files()) < 5
    assert it.look(0).judged == 0


def test_a_cursor_of_which_the_log_knows_no_more_loses_nothing(watch: Callable[..., Watch]) -> None:
    it = watch()
    it.put(range(-60, 0), 100.0)
    it.cursor = "-1"  # as when the version is no longer in the log
    it.put([0], 400.0)
    it.look(0)
    it.cursor = "0"
    for file in sorted((it.store.prices.path / "_delta_log").glob("*.json"))[:1]:
        table = it.store.prices.open()
        assert table is not None
        table.create_checkpoint()
        file.unlink()
    it.put([1], 100.0)
    it.look(1)
    assert [row["minute"] for row in it.alerts()] == [NOON]


def test_a_metric_that_is_no_longer_tracked_is_resolved(watch: Callable[..., Watch]) -> None:
    it = watch()
    calm(it)
    it.put([0], 400.0)
    it.look(0)
    it = watch(metrics=[ETH])
    it.look(1)
    assert [(row["state"], row["ended_because"]) for row in it.alerts()] == [("resolved", "no longer judged")]


# Channels that fail


def test_a_channel_that_fails_is_tried_again_with_longer_pauses_and_holds_up_no_other(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    webhook.behaviour["/bad"] = "500"
    it = watch(webhook.channel("/bad"), webhook.channel("/good"))
    calm(it)
    it.put([0], 400.0)
    for seconds in range(63, 63 + 100, 5):
        it.look(0, seconds)
    assert len(webhook.to("/good")) == 1
    times = [
        (row["attempted_at"] - NOON).total_seconds() - 63
        for row in it.records.deliveries.rows()
        if not row["delivered"]
    ]
    assert times == [0, 10, 30, 70]
    assert [row["attempt"] for row in it.records.deliveries.rows() if not row["delivered"]] == [1, 2, 3, 4]
    webhook.behaviour.clear()
    it.look(0, 63 + 150)
    it.look(0, 63 + 400)
    assert len(webhook.to("/bad")) == 5
    assert len(webhook.to("/good")) == 1


def test_once_a_channel_has_taken_something_its_pauses_are_short_again_and_attempts_are_of_each_message(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    it = watch(webhook.channel())
    it.put(range(-60, 0), 100.0, ETH)
    calm(it)
    webhook.behaviour["/"] = "500"
    it.put([0], 400.0, BTC, ETH)
    for seconds in (63, 74, 95):
        it.look(0, seconds)
    webhook.behaviour.clear()
    it.look(0, 140)
    webhook.behaviour["/"] = "500"
    it.put(range(1, 7), 100.0, BTC, ETH)
    for seconds in (490, 499, 501, 515, 522):
        it.look(0, seconds)
    attempts: dict[str, list[tuple[int, int, bool]]] = {}
    for row in it.records.deliveries.rows():
        of_event = attempts.setdefault(f"{row['id'].split('|')[1]} {row['event']}", [])
        of_event.append((int((row["attempted_at"] - NOON).total_seconds()), row["attempt"], row["delivered"]))
    firing = [(63, 1, False), (74, 2, False), (95, 3, False), (140, 4, True)]
    resolved = [(490, 1, False), (501, 2, False), (522, 3, False)]
    assert attempts == {
        f"{metric} {event}": of_event
        for metric in (BTC, ETH)
        for event, of_event in (("firing", firing), ("resolved", resolved))
    }


def test_a_message_that_no_channel_takes_is_kept_for_a_day(watch: Callable[..., Watch], webhook: Webhook) -> None:
    webhook.behaviour["/"] = "500"
    it = watch(webhook.channel(), extra="repeat_minutes = 0")
    calm(it)
    it.put([0], 400.0)
    it.look(0)
    assert [(row["event"], row["delivered"]) for row in it.look(23 * 60).attempts] == [
        ("firing", False),
        ("resolved", False),
    ]
    webhook.posted.clear()
    webhook.behaviour.clear()
    assert [row["event"] for row in it.look(24 * 60 + 2).attempts] == ["resolved"]
    assert [posted.title for posted in webhook.posted] == ["✓ KRAKEN:BTCUSD volume resolved"]


@pytest.mark.long
def test_after_an_hour_without_a_channel_it_is_told_what_happened_and_what_is_over_in_one_line(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    webhook.behaviour["/"] = "500"
    it = watch(webhook.channel(), extra="repeat_minutes = 15")
    it.put(range(-60, 60), 100.0, ETH)
    calm(it)
    it.put([0], 400.0)
    it.put([20], 700.0, ETH)
    stored = 1
    for minute in range(60):
        if minute % 20 < 6 or minute % 15 == 0:  # while an alert fires and ends, and as reminders would be due
            it.put(range(stored, minute + 1), 100.0)
            it.look(minute)
            stored = minute + 1
    webhook.posted.clear()
    webhook.behaviour.clear()
    it.put([60], 400.0)
    it.look(66)
    [posted] = webhook.posted
    assert [line.split(" = ")[0] for line in posted.lines] == [
        "▲ KRAKEN:BTCUSD volume 400",
        "✓ KRAKEN:BTCUSD volume below again: it lasted 1 minute from 2026-03-03 12:00 UTC, peak 400",
        "http://127.0.0.1:3000/assets/alerts",
    ]
    assert it.look(67).attempts == []


@pytest.mark.parametrize("how", ["hang", "close"])
def test_a_channel_that_does_not_answer_has_failed_within_the_sensors_time(
    watch: Callable[..., Watch], webhook: Webhook, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "ANSWER_WITHIN", 2.0)
    webhook.behaviour["/bad"] = how
    it = watch(webhook.channel("/bad"), webhook.channel("/good"))
    calm(it)
    it.put([0], 400.0)
    outcomes = {row["channel"]: (row["delivered"], row["error"]) for row in it.look(0).attempts}
    assert outcomes[channel_name(webhook.channel("/good"))] == (True, None)
    delivered, error = outcomes[channel_name(webhook.channel("/bad"))]
    assert not delivered
    assert error
    webhook.behaviour.clear()
    assert [row["delivered"] for row in it.look(0, 80).attempts] == [True]


def test_no_secret_is_stored_published_or_logged(
    watch: Callable[..., Watch], webhook: Webhook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "hunter2secret"  # noqa: S105
    webhook.behaviour[f"/{secret}"] = "500"
    channels = webhook.channel(f"/{secret}"), f"json://user:{secret}@127.0.0.1:1/{secret}?token={secret}"
    it = watch(*channels, published=True)
    calm(it)
    it.put([0], 400.0)
    with caplog.at_level("DEBUG"):
        watched = it.look(0)
    assert [row["delivered"] for row in watched.attempts] == [False, False]
    out, err = capfd.readouterr()
    everything = [repr(watched), caplog.text, out, err, repr(it.settings), it.settings.model_dump_json()]
    everything.append(open_prices(it.store.folder.published).sql("FROM deliveries").df().to_csv())
    assert [text for text in everything if secret in text] == []
    assert all(row["error"] for row in watched.attempts)


# Minutes that are missed


def ticked(bench: Bench, minutes: int = 1) -> None:
    """Let ticks run for the next minutes."""
    for _ in range(minutes):
        collect_minute(bench.settings, bench.minute, now=lambda: bench.now)
        bench.now += MINUTE


def look(bench: Bench) -> SensorOutcome:
    return watch_minutes(bench.settings, bench.now)


def test_a_store_that_is_empty_or_new_misses_nothing(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    assert look(bench).incidents == []
    ticked(bench)
    assert look(bench).incidents == []
    bench.now += MINUTE
    assert look(bench).incidents == []  # within its grace


def test_minutes_that_nobody_fetched_are_one_incident_that_heals(start: Callable[..., Bench], webhook: Webhook) -> None:
    bench = start("BTCUSD", "ETHUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]')
    ticked(bench)  # 11:59
    for _ in range(10):  # no tick is run for 12:00 to 12:09, but somebody looks
        bench.now += MINUTE
        look(bench)
    [incident] = open_store(bench.settings).records.incidents.rows()
    assert (incident["cause"], incident["state"]) == ("not run", "open")
    assert (incident["first"], incident["last"], incident["count"]) == (NOON, NOON + 8 * MINUTE, 9)
    assert (incident["metrics"], incident["missing"]) == (["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"], 18)
    ticked(bench)
    assert [row["state"] for row in look(bench).incidents] == ["open"]  # it may be missed again in a minute
    ticked(bench, 5)
    assert [row["state"] for row in look(bench).incidents] == ["resolved"]
    assert [posted.title for posted in webhook.posted] == ["✗ minutes missed: not run", "✓ missed minutes healed"]
    assert webhook.posted[0].lines[0] == (
        "✗ missed: 2026-03-03 12:00 UTC of SIMULATED:BTCUSD, SIMULATED:ETHUSD: not run: no tick was run for them"
    )


def test_minutes_that_were_healed_before_anybody_looked_are_told_of_all_the_same(
    start: Callable[..., Bench], webhook: Webhook
) -> None:
    bench = start("BTCUSD", extra=f'[alerts]\nchannels = ["{webhook.channel()}"]')
    ticked(bench)
    look(bench)
    bench.now += 10 * MINUTE  # everything was off
    ticked(bench, 6)
    [incident] = look(bench).incidents
    assert (incident["first"], incident["last"], incident["count"]) == (NOON, NOON + 9 * MINUTE, 10)
    assert (incident["state"], incident["missing"], incident["cause"]) == ("resolved", 0, "not run")
    [posted] = webhook.posted
    assert posted.title == "✗ minutes missed: not run, ✓ missed minutes healed"
    assert look(bench).incidents == []


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"kind": "maintenance"}, "exchange maintenance"),
        ({"kind": "server_error"}, "exchange error"),
        ({"kind": "delisted", "pair": "ETHUSD"}, "pair unknown"),
    ],
)
def test_what_a_tick_could_not_store_is_an_incident_with_its_cause_at_once(
    start: Callable[..., Bench], fault: dict[str, str], cause: str
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    ticked(bench)
    give_up_after(bench, 2)
    bench.exchange.faults.add(**fault)
    for _ in range(3):
        ticked(bench)
        look(bench)
    [incident] = open_store(bench.settings).records.incidents.rows()
    assert (incident["cause"], incident["first"], incident["count"]) == (cause, NOON, 3)
    assert incident["metrics"] == (
        ["SIMULATED:ETHUSD"] if "pair" in fault else ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]
    )
    publish(bench.store, incident["metrics"], now=bench.now, minute=bench.minute - MINUTE)
    assert incident["reason"].startswith("SIMULATED: ")
    listed = open_prices(bench.store.folder.published).sql("SELECT DISTINCT cause FROM missed_minutes").df()
    assert listed["cause"].tolist() == [cause]
    bench.exchange.faults.clear()
    ticked(bench, 5)
    look(bench)
    [incident] = open_store(bench.settings).records.incidents.rows()
    assert (incident["state"], incident["missing"]) == ("resolved", 0)
    assert incident["exchange"] == (None if "pair" in fault else "SIMULATED")


def test_minutes_that_the_exchange_skips_and_never_has_are_missed(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    ticked(bench)
    bench.exchange.faults.add("hole", pair="XBTUSD")
    bench.exchange.faults.add("error", endpoint="Trades", text="EQuery:Unknown asset pair")
    give_up_after(bench, 4)
    ticked(bench)
    [incident] = look(bench).incidents
    assert (incident["first"], incident["last"], incident["state"]) == (NOON, NOON, "open")


def test_a_metric_that_never_delivered_is_missed_from_when_it_was_listed(
    start: Callable[..., Bench], write_settings: Callable[[str], Path]
) -> None:
    bench = start("BTCUSD")
    ticked(bench, 3)
    write_settings('simulated = true\nmetrics = ["KRAKEN:BTCUSD", "KRAKEN:NOPEUSD"]')
    bench.settings = load_settings()
    assert look(bench).incidents == []  # the list has just changed
    ticked(bench, 2)
    [incident] = look(bench).incidents
    assert (incident["metrics"], incident["cause"]) == (["SIMULATED:NOPEUSD"], "pair unknown")
    assert incident["first"] == NOON + 3 * MINUTE  # the minute before was over when it was listed
    write_settings('simulated = true\nmetrics = ["KRAKEN:BTCUSD"]')
    bench.settings = load_settings()
    [incident] = look(bench).incidents
    assert (incident["state"], incident["missing"]) == ("resolved", 1)  # it stays missing, and that is said


def test_a_metric_that_was_not_listed_for_a_while_missed_nothing_then(
    start: Callable[..., Bench], write_settings: Callable[[str], Path]
) -> None:
    bench = start("BTCUSD", "ETHUSD")
    ticked(bench)
    write_settings('simulated = true\nmetrics = ["KRAKEN:BTCUSD"]')
    bench.settings = load_settings()
    ticked(bench, 20)
    write_settings('simulated = true\nmetrics = ["KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]')
    bench.settings = load_settings()
    ticked(bench, 2)
    assert look(bench).incidents == []


def test_an_outage_of_an_hour_over_a_hundred_metrics_is_one_incident_and_two_messages(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    metrics = [f"KRAKEN:M{number:03}USD" for number in range(100)]
    it = watch(webhook.channel(), metrics=metrics)
    it.look_at_minutes(0)
    it.put([0], 1.0, *metrics)
    for minute in range(1, 61):
        it.fail(minute, metrics)
        if minute % 6 == 1:
            it.look_at_minutes(minute + 1, 45)
    it.put(range(1, 66), 1.0, *metrics)
    it.look_at_minutes(66, 40)
    [incident] = it.incidents()
    assert (incident["state"], incident["count"], len(incident["metrics"])) == ("resolved", 60, 100)
    assert [posted.title for posted in webhook.posted] == [
        "✗ KRAKEN is out: exchange error",
        "✓ KRAKEN is back",
    ]
    assert "and 95 more" in webhook.posted[0].lines[0]


def test_a_failed_run_that_could_not_say_why_is_noted_with_what_ended_it(start: Callable[..., Bench]) -> None:
    bench = start("BTCUSD")
    ticked(bench)
    bench.now += MINUTE
    assert note_failed_run(bench.settings, NOON, "the run of its tick failed: killed") == ["SIMULATED:BTCUSD"]
    [incident] = look(bench).incidents
    assert (incident["cause"], incident["reason"]) == ("run failed", "the run of its tick failed: killed")
    assert note_failed_run(bench.settings, NOON - MINUTE, "publishing failed") == []


# Crashes and crowds

WATCHER = """
import sys, time
from datetime import datetime, timedelta
from pathlib import Path
from pricetracker_dagster.alerts.watch import watch_prices
from pricetracker_dagster.settings import load_settings
cursor = Path(sys.argv[1])
while True:
    watched = watch_prices(load_settings(), datetime.fromisoformat(sys.argv[2]), cursor.read_text())
    cursor.write_text(watched.cursor)  # as the daemon does, after the sensor
    print(len(watched.alerts), len(watched.attempts), flush=True)
    if len(sys.argv) > 3:
        break
"""


def watcher(it: Watch, cursor: Path, minute: int, *arguments: str) -> subprocess.Popen[str]:
    moment = (NOON + minute * MINUTE + SOON).isoformat()
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WATCHER, str(cursor), moment, *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_after_sending_and_before_noting_it_sends_again_and_makes_no_new_alert(
    watch: Callable[..., Watch], webhook: Webhook, tmp_path: Path
) -> None:
    it = watch(webhook.channel())
    calm(it)
    cursor = tmp_path / "cursor"
    cursor.write_text(str(it.cursor))
    it.put([0], 400.0)
    for _ in range(3):
        process = watcher(it, cursor, 0, "once")
        webhook.victim = lambda process=process: process.pid
        webhook.behaviour["/"] = "kill"
        assert process.wait(60) == -9
    webhook.behaviour.clear()
    assert watcher(it, cursor, 0, "once").wait(60) == 0
    assert watcher(it, cursor, 0, "once").wait(60) == 0
    assert len(it.alerts()) == 1
    assert len(webhook.posted) == 4  # three of which nobody knows, and one
    assert len({posted.lines[0] for posted in webhook.posted}) == 1


@pytest.mark.long
def test_killed_at_any_moment_it_loses_no_alert_and_tells_each_channel_of_each(
    watch: Callable[..., Watch], webhook: Webhook, tmp_path: Path
) -> None:
    it = watch(webhook.channel("/a"), webhook.channel("/b"))
    calm(it)
    cursor = tmp_path / "cursor"
    cursor.write_text(str(it.cursor))
    for round_ in range(8):
        minute = 10 * round_
        if round_:
            it.put(range(minute - 9, minute), 100.0)
        it.put([minute], 10_000.0 * 3**round_)
        process = watcher(it, cursor, minute)
        version = _version(it)
        deadline = threading.Event()
        threading.Timer(30, deadline.set).start()
        while _version(it) == version and not deadline.is_set():  # until it has recorded
            _pause.wait(0.002)
        _pause.wait(0.01 * round_)
        process.kill()
        process.communicate()
    assert watcher(it, cursor, 70, "once").wait(60) == 0
    began = [row["minute"] for row in it.alerts()]
    assert began == [NOON + 10 * round_ * MINUTE for round_ in range(8)]
    assert len({row["id"] for row in it.alerts()}) == 8
    # of rounds that were killed before they sent anything a later one told, if it was not too old by then
    assert len(webhook.to("/a")) >= 1
    fired = {row["minute"] for row in it.alerts() if row["minute"] >= NOON + 60 * MINUTE}
    for path in ("/a", "/b"):
        told = " ".join(line for posted in webhook.to(path) for line in posted.lines)
        assert [minute for minute in fired if f"at {minute:%Y-%m-%d %H:%M} UTC" not in told] == []


def _version(it: Watch) -> int:
    table = it.records.alerts.open()
    return -1 if table is None else table.version()


def test_two_sensors_at_once_tell_it_once(watch: Callable[..., Watch], webhook: Webhook) -> None:
    it = watch(webhook.channel())
    calm(it)
    it.put([0], 400.0)
    with ThreadPoolExecutor(4) as pool:
        looks = list(pool.map(lambda _: watch_prices(it.settings, NOON + SOON, it.cursor), range(8)))
    assert sum(len(watched.attempts) for watched in looks) == 1
    assert len(webhook.posted) == 1
    assert len(it.alerts()) == 1
