"""Several exchanges, of which some are in trouble: each is one incident, told to a real webhook; the others go on."""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.alerts.watch import watch_minutes
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.collect.tick import collect_minute
from pricetracker_dagster.settings import load_settings
from pricetracker_dagster.simulator import Simulator
from pricetracker_dagster.store.store import open_store
from tests.integration.test_watch import NOON, Watch, watch
from tests.webhook import Webhook

__all__ = ["watch"]

BANNED, REFUSED, MAINTENANCE = "banned by the exchange", "refused by the exchange", "exchange maintenance"
KRAKEN, COINBASE, COINBASE_ETHER, OKX = "KRAKEN:BTCUSD", "COINBASE:BTCUSD", "COINBASE:ETH/USD", "OKX:BTCUSDT"
METRICS = (KRAKEN, COINBASE, COINBASE_ETHER, OKX)


def fail(it: Watch, minutes: Iterable[int], cause: str, reasons: dict[str, str]) -> None:
    """Note what a tick notes that was answered so."""
    for minute in minutes:
        noted = {"minute": NOON + minute * MINUTE, "cause": cause, "noted_at": NOON}
        it.records.causes.upsert([{"metric": metric, "reason": reason, **noted} for metric, reason in reasons.items()])


@pytest.fixture
def it(watch: Callable[..., Watch], webhook: Webhook) -> Watch:
    """An hour of volume 100 before noon on four metrics of three exchanges."""
    begun = watch(webhook.channel(), metrics=METRICS, published=True)
    begun.put(range(-60, 0), 100.0, *METRICS)
    begun.look(-1)
    begun.look_at_minutes(0)
    return begun


def minute(it: Watch, minute: int, **volumes: float) -> None:
    """Store a minute of volume 100, or what is said of an exchange, which is 0 where nothing came; and look."""
    for metric in METRICS:
        if volume := volumes.get(metric.partition(":")[0], 100.0):
            it.put([minute], volume, metric)
    it.look_at_minutes(minute + 1)
    it.look(minute)


def titles(webhook: Webhook) -> list[str]:
    return [posted.title for posted in webhook.posted]


def test_two_that_fail_in_the_same_minute_are_two_incidents_each_with_its_own_reason_and_way_out(
    it: Watch, webhook: Webhook
) -> None:
    fail(
        it,
        range(2),
        BANNED,
        {
            COINBASE: "COINBASE: candles of BTCUSD: HTTP 418, banned for a while",
            COINBASE_ETHER: "COINBASE: candles of ETH/USD: HTTP 418, banned for a while",
        },
    )
    fail(it, range(2), REFUSED, {OKX: "OKX: candles of BTCUSDT: HTTP 451: https://okx answers nobody from here"})
    for each in range(2):
        minute(it, each, COINBASE=0, OKX=0)
    lines = {line for posted in webhook.posted for line in posted.lines[:-1]}
    assert lines == {
        (
            "✗ missed: 2026-03-03 12:00 UTC of COINBASE as a whole, 2 metrics: COINBASE:BTCUSD, COINBASE:ETH/USD: "
            "banned by the exchange: COINBASE: candles of BTCUSD: HTTP 418, banned for a while; it is asked again when "
            "the ban is over; if it comes again, lower exchanges.coinbase.requests_per_second"
        ),
        (
            "✗ missed: 2026-03-03 12:00 UTC of OKX as a whole, 1 metric: OKX:BTCUSDT: refused by the exchange: OKX: "
            "candles of BTCUSDT: HTTP 451: https://okx answers nobody from here; it gives nothing to this address: "
            "remove its metrics, or follow their pairs elsewhere"
        ),
    }
    found = {row["exchange"]: (row["state"], row["metrics"]) for row in it.incidents()}
    assert found == {"COINBASE": ("open", [COINBASE, COINBASE_ETHER]), "OKX": ("open", [OKX])}


def test_two_that_fail_by_the_same_cause_at_once_do_not_tell_each_other_s_reason(it: Watch) -> None:
    fail(
        it,
        [0],
        "exchange error",
        {KRAKEN: "KRAKEN: Time: HTTP 502", COINBASE: "COINBASE: time: no connection", OKX: "OKX: time: HTTP 503"},
    )
    it.put([0], 100.0, COINBASE_ETHER)
    it.look_at_minutes(1)
    assert {row["exchange"]: row["reason"] for row in it.incidents()} == {
        "KRAKEN": "KRAKEN: Time: HTTP 502",
        "COINBASE": "COINBASE: time: no connection",
        "OKX": "OKX: time: HTTP 503",
    }


def test_a_spike_of_one_that_is_out_is_recorded_and_marked_and_sent_when_it_is_back_and_that_of_another_at_once(
    it: Watch, webhook: Webhook
) -> None:
    both = dict.fromkeys((COINBASE, COINBASE_ETHER), "COINBASE: time: closed")
    fail(it, range(2), MAINTENANCE, both)
    for each in range(2):
        minute(it, each, COINBASE=0)
    assert titles(webhook) == ["✗ COINBASE is out: exchange maintenance"]
    it.put(range(2), 100.0, COINBASE, COINBASE_ETHER)  # it answers again, and what was missed is healed
    minute(it, 2, COINBASE=400.0, KRAKEN=400.0)
    assert titles(webhook)[1:] == ["▲ KRAKEN:BTCUSD volume 4.00×"]
    [incident] = it.incidents()
    shown = open_prices(it.store.folder.published).alerts(only_open=True)
    assert dict(shown.select("metric, held_by").fetchall()) == {
        KRAKEN: None,
        COINBASE: f"incident {incident['id']}",
        COINBASE_ETHER: f"incident {incident['id']}",
    }
    for each in range(3, 9):  # it is back after five minutes in a row, and still spikes
        minute(it, each, COINBASE=800.0 if each in (5, 7) else 100.0, KRAKEN=100.0)
    told = titles(webhook)[2:]
    assert told == [
        "✓ COINBASE is back",
        "▲ COINBASE:BTCUSD volume still fires, ▲ COINBASE:ETH/USD volume still fires",
        "✓ KRAKEN:BTCUSD volume resolved",
    ]
    assert sum("kept back until now by an outage of COINBASE" in line for p in webhook.posted for line in p.lines) == 2


SIMULATED = (
    "KRAKEN:BTCUSD",
    "KRAKEN:ETHUSD",
    "COINBASE:BTCUSD",
    "COINBASE:ETHUSD",
    "BINANCE:BTCUSDT",
    "BINANCE:ETHUSDT",
)


def test_real_ticks_of_three_exchanges_of_which_one_has_banned_us_and_another_refuses_to_answer_from_here(
    write_settings: Callable[[str], Path], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOON + timedelta(seconds=5)
    with Simulator(clock=lambda: now) as simulator:
        monkeypatch.setenv("PRICETRACKER_EXCHANGES__SIMULATED__URL", simulator.url)
        write_settings(
            f"simulated = true\nmetrics = {json.dumps(SIMULATED)}\n[collect]\nbudget_seconds = 6\n"
            f'[alerts]\nchannels = ["{webhook.channel()}"]'
        )
        settings = load_settings()
        store = open_store(settings)
        collect_minute(settings, now - timedelta(seconds=65), now=lambda: now)
        watch_minutes(settings, now)
        simulator.faults.add("banned", exchange="binance", seconds=600)
        simulator.faults.add("refused_here", exchange="coinbase")
        now += MINUTE
        collected = collect_minute(settings, NOON, now=lambda: now)
        watch_minutes(settings, now)
    found = {row["exchange"]: (row["cause"], row["metrics"], row["reason"]) for row in store.records.incidents.rows()}
    coinbase, binance = "SIMULATED_COINBASE", "SIMULATED_BINANCE"
    answers = "answers nobody from here; follow the pair on another exchange"
    assert found == {
        coinbase: (
            REFUSED,
            [f"{coinbase}:BTCUSD", f"{coinbase}:ETHUSD"],
            f"{coinbase}: time: HTTP 451: {simulator.url} {answers}",
        ),
        binance: (
            BANNED,
            [f"{binance}:BTCUSDT", f"{binance}:ETHUSDT"],
            f"{binance}: time: HTTP 418, banned for a while",
        ),
    }
    assert not {metric for metric in collected.reasons if metric.startswith("SIMULATED:")}
    assert titles(webhook) == [f"✗ {binance} is out: {BANNED}, ✗ {coinbase} is out: {REFUSED}"]
