"""Inputs that the alarms have always stood: texts that differ each minute, hundreds of alerts in one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pricetracker_dagster.settings import load_settings
from tests.integration.test_watch import BTC, ETH, NOON, Watch
from tests.webhook import Webhook


@pytest.fixture
def watch(write_settings: Callable[[str], Path]) -> Callable[..., Watch]:
    def begin(*channels: str, metrics: tuple[str, ...] = (BTC, ETH)) -> Watch:
        named, told = (", ".join(f'"{each}"' for each in many) for many in (metrics, channels))
        write_settings(f"metrics = [{named}]\n[alerts]\nchannels = [{told}]\nrules = [{{measures = ['volume']}}]\n")
        return Watch(load_settings)

    return begin


def fail(it: Watch, minute: int, reason: str) -> None:
    noted = {"minute": NOON.replace(minute=minute), "cause": "exchange error", "reason": reason, "noted_at": NOON}
    it.records.causes.upsert([{"metric": metric, **noted} for metric in (BTC, ETH)])


@pytest.mark.parametrize(
    "reason",
    [
        "KRAKEN: OHLC: EService:Unavailable request-id {0:04x} at 12:{0:02d}:17.123",
        "KRAKEN: OHLC: HTTP 502 from node {0}",
        "KRAKEN: Time: no connection (attempt {0}, 0x7f{0:04x})",
    ],
)
def test_an_outage_whose_text_differs_each_minute_is_one_incident_and_one_message(
    watch: Callable[..., Watch], webhook: Webhook, reason: str
) -> None:
    it = watch(webhook.channel())
    it.put(range(-60, 0), 100.0, BTC, ETH)
    it.look_at_minutes(0)
    for minute in range(5):
        fail(it, minute, reason.format(minute))
        it.look_at_minutes(minute + 1)
    [incident] = it.incidents()
    assert (incident["state"], incident["count"]) == ("open", 5)
    assert len(webhook.posted) == 1
    it.put(range(10), 100.0, BTC, ETH)
    it.look_at_minutes(10)
    assert [row["state"] for row in it.incidents()] == ["resolved"]
    assert len(webhook.posted) == 2


def test_hundreds_of_alerts_in_one_minute_are_all_recorded_and_sent_beside_a_channel_that_fails(
    watch: Callable[..., Watch], webhook: Webhook
) -> None:
    metrics = tuple(f"KRAKEN:M{i:03d}USD" for i in range(300))
    webhook.behaviour["/bad"] = "500"
    it = watch(webhook.channel(), webhook.channel("/bad"), metrics=metrics)
    it.put(range(-60, 0), 100.0, *metrics)
    it.look(-1)
    it.put([0], 400.0, *metrics)
    assert len(it.look(0).alerts) == 300
    delivered = {row["id"] for row in it.records.deliveries.rows() if row["delivered"]}
    assert len(delivered) == 300
    assert webhook.to("/")
    before = len(webhook.to("/"))
    it.look(0, seconds=120)  # again to the one that fails, not to the other
    assert len(webhook.to("/")) == before
    assert len(webhook.to("/bad")) > 1
