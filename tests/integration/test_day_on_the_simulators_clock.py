"""A burst and an outage from the first to the last message: real ticks and sensors, on a clock that the test turns."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.local.tick_by_hand import run_minute_tick
from pricetracker_dagster.sensors.alarms import missed_minutes, run_failure, spike_alerts
from pricetracker_dagster.store.store import open_store
from tests.integration.conftest import Bench, give_up_after, tracker
from tests.integration.test_sensors import evaluate, of_run
from tests.webhook import Webhook

Start = Callable[..., Bench]
METRICS = ["SIMULATED:BTCUSD", "SIMULATED:ETHUSD"]


class Day:
    """An exchange, an instance, and what the schedule and the sensors would do at each minute."""

    def __init__(self, bench: Bench, instance: dg.DagsterInstance) -> None:
        self.bench, self.instance = bench, instance
        self.cursor: str | None = None

    def minute(self) -> bool:
        """Tick, let every sensor look twice, and go to the next minute. Say whether the tick was green."""
        outcome = run_minute_tick(tracker(self.bench), self.instance)
        if not outcome.success:
            run_failure(of_run(self.bench, self.instance, outcome.run_id, run_failure).for_run_failure())
        for _ in range(2):
            looked: Any = evaluate(spike_alerts, self.bench, self.instance, self.cursor)
            self.cursor = looked.cursor
            evaluate(missed_minutes, self.bench, self.instance)
        self.bench.now += MINUTE
        return outcome.success


@pytest.fixture
def day(start: Start, instance: dg.DagsterInstance, webhook: Webhook) -> Day:
    bench = start(
        "BTCUSD",
        "ETHUSD",
        extra=f'[collect]\nbudget_seconds = 40\n[alerts]\nchannels = ["{webhook.channel()}"]\n'
        '[[alerts.rules]]\nmeasures = ["volume"]\nfactor = 10\nresolve_after_minutes = 2\n',
    )
    return Day(bench, instance)


@pytest.mark.long
def test_a_burst_is_announced_once_with_a_link_and_told_to_be_over(day: Day, webhook: Webhook) -> None:
    assert day.minute()
    minute = day.bench.minute
    unix = int(minute.timestamp())
    day.bench.exchange.faults.add("burst", pair="XBTUSD", factor=5000, since=unix, until=unix)
    assert [day.minute() for _ in range(4)] == [True] * 4
    begun, over = webhook.posted
    assert f"at {minute:%Y-%m-%d %H:%M} UTC" in begun.lines[0]
    assert begun.lines[-1] == "http://127.0.0.1:3000/assets/alerts"
    assert over.title == "✓ SIMULATED:BTCUSD volume resolved"


def test_an_outage_fails_its_ticks_is_one_incident_told_once_and_healed_when_it_is_over(
    day: Day, webhook: Webhook
) -> None:
    assert day.minute()
    day.bench.exchange.faults.add("maintenance")
    give_up_after(day.bench, 1)
    assert [day.minute() for _ in range(3)] == [False] * 3
    assert len(webhook.posted) == 1
    day.bench.exchange.faults.clear()
    give_up_after(day.bench, 40)
    assert day.minute()
    healed = day.bench.minute - MINUTE
    assert day.bench.store.prices.gaps(METRICS, healed - timedelta(hours=11), healed) == {}
    assert [day.minute() for _ in range(5)] == [True] * 5
    [incident] = open_store(day.bench.settings).records.incidents.rows()
    assert (incident["cause"], incident["state"], incident["count"]) == ("exchange maintenance", "resolved", 3)
    assert incident["metrics"] == METRICS
    assert [posted.title for posted in webhook.posted] == [
        "✗ SIMULATED is out: exchange maintenance",
        "✓ SIMULATED is back",
    ]
