"""Several exchanges, of which some are in trouble: each is one incident, told to a real webhook; the others go on."""

from collections.abc import Callable, Iterable

import pytest

from pricetracker_dagster import open_prices
from pricetracker_dagster.candles.minutes import MINUTE
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
            "candles of BTCUSDT: HTTP 451: https://okx answers nobody from here; it will not answer from this address: "
            "remove its metrics, or follow the pairs on another exchange"
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
