"""What people silence and acknowledge, and what routes say, as it reaches a phone: real tables, real webhooks."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from pricetracker_dagster.alerts import watch
from pricetracker_dagster.alerts.operators import actions
from pricetracker_dagster.candles.minutes import MINUTE
from pricetracker_dagster.settings import load_settings
from tests.integration.test_watch import BTC, ETH, NOON, Watch
from tests.webhook import Posted, Webhook

FIRING = f"spike|{BTC}|volume|2026-03-03T12:00Z"


@pytest.fixture
def begin(
    write_settings: Callable[[str], Path], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Watch]:
    """An hour of calm before noon, watched by somebody; what more the alerts are set to."""
    monkeypatch.setattr(watch, "publish", lambda *_, **__: None)  # nobody reads it here, and it takes most of the time

    def begin(alerts: str = "") -> Watch:
        channels = json.dumps([webhook.channel("/a")])
        write_settings(f"metrics = {json.dumps([BTC, ETH])}\n[alerts]\nchannels = {channels}\n{alerts}")
        it = Watch(load_settings)
        it.put(range(-60, 0), 100.0, BTC, ETH)
        it.look(-1)
        it.look_at_minutes(0)
        return it

    return begin


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


def silence(it: Watch, until: float, metrics: str = "KRAKEN:*") -> None:
    actions.silence(it.settings, metrics, at(until), at(-0.5), rule=None, reason=None, who="ann")


def go_on(it: Watch, first: int, last: int, *above: str) -> None:
    """Store minutes, of these metrics far above, and look once after the last one."""
    it.put(range(first, last + 1), 400.0, *above) if above else None
    calm = [metric for metric in (BTC, ETH) if metric not in above]
    it.put(range(first, last + 1), 100.0, *calm) if calm else None
    it.look(last)


def lines(posted: list[Posted]) -> list[list[str]]:
    """The lines of each message, but for its links."""
    return [[line for line in each.lines if not line.startswith("http")] for each in posted]


def test_a_silence_ends_in_one_message_with_what_is_on_and_what_was_over(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    it = begin("")
    silence(it, 9)
    go_on(it, 0, 0, BTC)
    go_on(it, 1, 5)
    go_on(it, 6, 6, ETH)
    assert webhook.to("/a") == []
    go_on(it, 7, 8)
    [[ended, still]] = lines(webhook.to("/a"))
    assert still.startswith("▲ KRAKEN:ETHUSD volume still fires: first above at 2026-03-03 12:06 UTC")
    assert still.endswith("kept back until now by silence s1")
    said = "silence s1 has ended: 1 still on, see its line; over meanwhile: KRAKEN:BTCUSD volume resolved"
    assert ended == f"{said}; it kept back 3 messages"
    go_on(it, 9, 11)
    assert [posted.title for posted in webhook.to("/a")][1:] == ["✓ KRAKEN:ETHUSD volume resolved"]


def test_what_is_over_in_the_look_that_sees_the_end_of_a_silence_is_over_in_its_summary(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    it = begin("")
    silence(it, 6)
    go_on(it, 0, 0, BTC)
    go_on(it, 1, 5)  # the fifth minute below, looked at at 12:06:03
    it.look(6)
    nothing = "silence s1 has ended: nothing that it kept back is still on"
    assert lines(webhook.to("/a")) == [
        [f"{nothing}; over meanwhile: KRAKEN:BTCUSD volume resolved; it kept back 2 messages"]
    ]


def test_an_incident_that_is_over_when_a_silence_ends_waits_for_who_looks_at_minutes(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    it = begin("")
    silence(it, 10)
    it.fail(0, [BTC, ETH])
    it.look_at_minutes(1)
    it.put(range(9), 100.0, BTC, ETH)
    it.look(9)  # the end of the silence is seen here, what has become of the incident is not
    assert webhook.to("/a") == []
    it.look_at_minutes(9, 63)
    it.look(9, 64)
    nothing = "silence s1 has ended: nothing that it kept back is still on"
    assert lines(webhook.to("/a")) == [[f"{nothing}; over meanwhile: KRAKEN is back; it kept back 2 messages"]]


def test_a_damaged_table_of_silences_is_told_and_keeps_nothing_back(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    it = begin("")
    silence(it, 60)
    [*_, newest] = sorted((it.settings.folder / "silences" / "_delta_log").glob("*.json"))
    newest.write_text("{")
    it.put([0], 400.0)
    said = "silences cannot be read, so nothing is kept back: the table silences is damaged: "
    assert any(trouble.startswith(said) for trouble in it.look(0).troubles)
    assert [posted.title for posted in webhook.to("/a")] == ["▲ KRAKEN:BTCUSD volume 4.00×"]
    assert any(trouble.startswith(said) for trouble in it.look_at_minutes(0).troubles)


def quiet_route(webhook: Webhook, path: str, until: str, match: str) -> str:
    hours = f'{{ from = "22:00", to = "{until}", time_zone = "Pacific/Auckland" }}'  # noon is 01:00 there
    return f'[[alerts.routes]]\nmatch = {match}\nchannels = ["{webhook.channel(path)}"]\nquiet_hours = {hours}\n'


def test_the_end_of_a_silence_waits_for_the_end_of_quiet_hours(begin: Callable[[str], Watch], webhook: Webhook) -> None:
    it = begin(quiet_route(webhook, "/q", "01:11", "{}"))
    silence(it, 8)
    go_on(it, 0, 0, BTC)
    go_on(it, 1, 9)
    assert webhook.to("/q") == []
    it.look(10)
    [[ended]] = lines(webhook.to("/q"))
    assert ended.startswith("silence s1 has ended: nothing that it kept back is still on; over meanwhile: KRAKEN:BTC")
    assert webhook.to("/a") == []  # its route is for everything


def test_what_is_for_a_quiet_route_alone_waits_while_its_channel_is_told_of_another(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    loud = f'[[alerts.routes]]\nmatch = {{ metrics = ["{ETH}"] }}\nchannels = ["{webhook.channel("/q")}"]\n'
    it = begin(quiet_route(webhook, "/q", "01:11", "{}") + loud)
    go_on(it, 0, 0, BTC, ETH)
    assert [posted.title for posted in webhook.to("/q")] == ["▲ KRAKEN:ETHUSD volume 4.00×"]
    go_on(it, 1, 5)
    it.look(10)
    titles = [posted.title for posted in webhook.to("/q")]
    assert titles[1:] == [
        "✓ KRAKEN:ETHUSD volume resolved",
        "▲ KRAKEN:BTCUSD volume 4.00×, ✓ KRAKEN:BTCUSD volume resolved",
    ]


def test_the_message_after_an_acknowledgement_says_who_and_no_reminder_came_between(
    begin: Callable[[str], Watch], webhook: Webhook
) -> None:
    it = begin("repeat_minutes = 2")
    go_on(it, 0, 0, BTC)
    actions.acknowledge(it.settings, FIRING, at(1.5), who="ann", note="looking *into* it")
    go_on(it, 1, 4)
    go_on(it, 5, 5)
    first, last = lines(webhook.to("/a"))
    assert first[0].startswith("▲ KRAKEN:BTCUSD volume 400 = 4.00×")
    assert last[0].endswith("; acknowledged by ann at 2026-03-03 12:01 UTC: looking *into* it")
    go_on(it, 7, 7, BTC)  # another one, which nobody has acknowledged
    go_on(it, 8, 9)
    titles = [posted.title for posted in webhook.to("/a")][2:]
    assert titles == ["▲ KRAKEN:BTCUSD volume 3.81×", "▲ KRAKEN:BTCUSD volume still fires"]
