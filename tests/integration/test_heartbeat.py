"""The heartbeat is taken by a good answer of the address itself, in time; nothing else counts."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pricetracker_dagster.alerts.watchdog import heartbeat
from pricetracker_dagster.alerts.watchdog.heartbeat import HeartbeatError, beat
from pricetracker_dagster.settings import Settings, load_settings
from tests.odd_kraken import OddKraken, send
from tests.waiting import until


@pytest.fixture
def settings(odd: OddKraken, write_settings: Callable[[str], Path]) -> Settings:
    write_settings(f'metrics = ["KRAKEN:BTCUSD"]\n[alerts]\nheartbeat_url = "{odd.url}/secret"\n')
    return load_settings()


def dripping(odd: OddKraken, head: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while not odd.let_go.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return write


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/"]
)
def test_a_head_that_drips_is_waited_for_no_longer_and_leaves_no_thread_behind(
    odd: OddKraken, settings: Settings, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_WITHIN", 0.4)
    odd.write["secret"] = dripping(odd, head)
    with pytest.raises(HeartbeatError, match=r"^alerts.heartbeat_url: no answer within 0.4 s$"):
        beat(settings)
    until(
        lambda: not any(each.name == "asks for the heartbeat" for each in threading.enumerate()), 5, "the thread ends"
    )


def test_what_a_good_answer_goes_on_to_say_is_not_waited_for(odd: OddKraken, settings: Settings) -> None:
    odd.write["secret"] = dripping(odd, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    began = time.monotonic()
    assert beat(settings)
    assert time.monotonic() - began < 5  # a body as long would take 5,000 s


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_one_that_points_elsewhere_is_not_followed_and_does_not_count(
    odd: OddKraken, settings: Settings, status: int
) -> None:
    odd.write["secret"] = lambda handler: send(handler, b"", status, {"Location": f"{odd.url}/elsewhere"})
    odd.write["elsewhere"] = lambda handler: send(handler, b"")
    with pytest.raises(HeartbeatError, match=f"HTTP {status}: it redirects elsewhere, which is not followed") as error:
        beat(settings)
    assert "secret" not in str(error.value)
    assert odd.count("elsewhere").total() == 0


def test_a_head_that_is_no_http_is_no_answer(odd: OddKraken, settings: Settings) -> None:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        handler.close_connection = True

    odd.write["secret"] = write
    with pytest.raises(HeartbeatError, match=r"^alerts.heartbeat_url: no answer \(\w+\)$"):
        beat(settings)
